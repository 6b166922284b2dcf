package rtsptest

import (
	"bytes"
	"encoding/binary"
)

// Packer turns an access unit into RTP payloads.
type Packer func(codec string, unit [][]byte, mtu int) [][]byte

// Fragmented sends each NAL unit by itself, in fragments if it is too large (FU-A of H.264, FU of H.265).
func Fragmented(codec string, unit [][]byte, mtu int) (payloads [][]byte) {
	for _, nal := range unit {
		payloads = append(payloads, fragments(codec, nal, mtu, false)...)
	}
	return payloads
}

// FragmentedB is Fragmented with the decoding order numbers of FU-B.
func FragmentedB(codec string, unit [][]byte, mtu int) (payloads [][]byte) {
	for _, nal := range unit {
		payloads = append(payloads, fragments(codec, nal, mtu, true)...)
	}
	return payloads
}

// Aggregated joins the small NAL units before a picture in one packet (STAP-A of H.264, AP of H.265).
func Aggregated(codec string, unit [][]byte, mtu int) [][]byte {
	return aggregate(codec, unit, mtu, nil)
}

// AggregatedB is Aggregated with the decoding order number of STAP-B.
func AggregatedB(codec string, unit [][]byte, mtu int) [][]byte {
	return aggregate(codec, unit, mtu, []byte{0, 7})
}

func aggregate(codec string, unit [][]byte, mtu int, don []byte) [][]byte {
	header := []byte{0x78}
	if don != nil {
		header = []byte{0x79}
	}
	if codec == "H265" {
		header = []byte{48 << 1, 1}
	}

	packet := append(header, don...)
	count := 0
	for ; count < len(unit)-1 && len(packet)+2+len(unit[count]) <= mtu; count++ {
		packet = binary.BigEndian.AppendUint16(packet, uint16(len(unit[count])))
		packet = append(packet, unit[count]...)
	}

	rest := Fragmented(codec, unit[count:], mtu)
	if count == 0 {
		return rest
	}
	return append([][]byte{packet}, rest...)
}

func fragments(codec string, nal []byte, mtu int, numbered bool) (payloads [][]byte) {
	if len(nal) <= mtu {
		return [][]byte{nal}
	}
	head, kind := 1, nal[0]&0x1f
	if codec == "H265" {
		head, kind = 2, nal[0]>>1&0x3f
	}

	for at := head; at < len(nal); {
		end := min(at+mtu-5, len(nal))
		fu := kind
		if at == head {
			fu |= 0x80
		}

		if end == len(nal) {
			fu |= 0x40
		}
		packet := []byte{nal[0]&0xe0 | 28, fu}
		switch {
		case codec == "H265":
			packet = []byte{nal[0]&0x81 | 49<<1, nal[1], fu}
		case numbered && at == head:
			packet = []byte{nal[0]&0xe0 | 29, fu, 0, 9}
		}

		payloads = append(payloads, append(packet, nal[at:end]...))
		at = end
	}

	return payloads
}

// Split cuts an Annex B stream of a codec into access units of NAL units: at first slices, and at NAL units that
// precede pictures.
func Split(codec string, stream []byte) (units [][][]byte) {
	var unit [][]byte
	picture := false
	for _, nal := range bytes.Split(bytes.ReplaceAll(stream, []byte{0, 0, 0, 1}, []byte{0, 0, 1}), []byte{0, 0, 1}) {
		if len(nal) == 0 {
			continue
		}
		t := nal[0] & 0x1f
		slice, first, leads := t == 1 || t == 5, nal[1]&0x80 != 0, t >= 6 && t <= 9
		if codec == "H265" {
			t = nal[0] >> 1 & 0x3f
			slice, first, leads = t < 32, nal[2]&0x80 != 0, t >= 32 && t <= 35 || t == 39
		}

		if picture && (leads || slice && first) {
			units, unit, picture = append(units, unit), nil, false
		}
		unit, picture = append(unit, nal), picture || slice
	}

	return append(units, unit)
}

// Join returns an Annex B stream of NAL units, with start codes of four bytes.
func Join(nals [][]byte) (stream []byte) {
	for _, nal := range nals {
		stream = append(append(stream, 0, 0, 0, 1), nal...)
	}
	return stream
}
