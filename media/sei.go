package media

import (
	"bytes"
	"iter"
)

// markUUID identifies the SEI messages that say whose picture it is: user_data_unregistered (H.264, D.1.7 and D.2.7)
// with this uuid_iso_iec_11578, followed by the camera's identity. It is a random UUID (RFC 9562, section 5.4).
var markUUID = [16]byte{0x5c, 0x1e, 0x9a, 0x27, 0x30, 0x8f, 0x4b, 0x6d, 0x9e, 0x51, 0xc4, 0x02, 0x7d, 0xb8, 0x63, 0xfa}

const (
	seiUserDataUnregistered = 5
	seiRecoveryPoint        = 6
	rbspTrailing            = 0x80 // rbsp_stop_one_bit, byte aligned
)

// MarkSEI returns an SEI NAL unit that carries identity, with a start code of four bytes.
func MarkSEI(identity string) []byte {
	size := len(markUUID) + len(identity)
	rbsp := []byte{seiUserDataUnregistered}
	for ; size >= 255; size -= 255 { // H.264, 7.3.2.3.1
		rbsp = append(rbsp, 255)
	}

	rbsp = append(append(append(rbsp, byte(size)), markUUID[:]...), identity...)
	nal := append(append([]byte(nil), startCode...), nalSEI)
	return escape(nal, append(rbsp, rbspTrailing))
}

// InsertSEI returns a copy of an access unit with an SEI NAL unit inserted before the picture and after parameter sets
// and other SEI, where H.264, 7.4.1.2.3 allows it. If there is no picture, it appends the SEI NAL unit.
func InsertSEI(unit, sei []byte) []byte {
	insert := len(unit)
	for n, nal := range nalUnits(unit) {
		if t := nalType(nal); isVCL(t) || t == nalPrefix {
			insert = n.at
			break
		}
	}

	marked := make([]byte, 0, len(unit)+len(sei))
	return append(append(append(marked, unit[:insert]...), sei...), unit[insert:]...)
}

// Marks returns the identities of [MarkSEI] in an access unit, in order. It skips truncated SEI messages.
func Marks(unit []byte) (identities []string) {
	for _, nal := range nalUnits(unit) {
		if nalType(nal) != nalSEI {
			continue
		}
		for kind, payload := range seiMessages(nal) {
			if body, ok := bytes.CutPrefix(payload, markUUID[:]); ok && kind == seiUserDataUnregistered {
				identities = append(identities, string(body))
			}
		}
	}
	return identities
}

// recoveryPoint returns recovery_frame_cnt from a recovery point SEI message (H.264, D.1.8 and D.2.8): a decoder that
// starts here shows correct pictures after that many more.
func recoveryPoint(sei []byte) (pictures uint32, ok bool) {
	for kind, payload := range seiMessages(sei) {
		if kind == seiRecoveryPoint {
			b := &bits{data: payload}
			pictures = b.ue()
			return pictures, !b.short
		}
	}
	return 0, false
}

// seiMessages iterates over the complete messages of an SEI NAL unit: payloadType and payload.
func seiMessages(nal []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		rbsp := unescape(nal[1:], len(nal))
		for len(rbsp) > 2 { // a message has at least a type and a size; rbsp_trailing_bits follow the last message
			kind, rest := seiNumber(rbsp)
			size, payload := seiNumber(rest)
			if size > len(payload) || !yield(kind, payload[:size]) {
				return
			}
			rbsp = payload[size:]
		}
	}
}

// seiNumber reads payloadType or payloadSize (H.264, 7.3.2.3.1).
func seiNumber(b []byte) (n int, rest []byte) {
	for len(b) > 0 {
		v := b[0]
		b = b[1:]
		n += int(v)
		if v != 255 {
			break
		}
	}
	return n, b
}
