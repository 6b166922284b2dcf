package media

import "bytes"

// markUUID names the SEI messages that say whose picture it is: user_data_unregistered (H.264, D.1.7 and D.2.7)
// with this uuid_iso_iec_11578 and then the camera's identity. It is a random UUID (RFC 9562, 5.4).
var markUUID = [16]byte{0x5c, 0x1e, 0x9a, 0x27, 0x30, 0x8f, 0x4b, 0x6d, 0x9e, 0x51, 0xc4, 0x02, 0x7d, 0xb8, 0x63, 0xfa}

const (
	seiUserDataUnregistered = 5
	rbspTrailing            = 0x80 // rbsp_stop_one_bit, byte aligned
)

// MarkSEI returns an SEI NAL unit, with a start code of four bytes, that carries identity.
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

// InsertSEI returns a copy of an access unit with an SEI NAL unit before its picture, behind parameter sets and
// other SEI, where H.264, 7.4.1.2.3 allows it. An access unit without a picture gets it at its end.
func InsertSEI(unit, sei []byte) []byte {
	insert := len(unit)
	for at, nal := range nalUnits(unit) {
		if t := nalType(nal); isVCL(t) || t == nalPrefix {
			insert = at
			break
		}
	}
	marked := make([]byte, 0, len(unit)+len(sei))
	return append(append(append(marked, unit[:insert]...), sei...), unit[insert:]...)
}

// Marks returns the identities that [MarkSEI] put into an access unit, in order. Torn SEI messages are passed over.
func Marks(unit []byte) (identities []string) {
	for _, nal := range nalUnits(unit) {
		if nalType(nal) == nalSEI {
			identities = appendMarks(identities, unescape(nal[1:], len(nal)))
		}
	}
	return identities
}

func appendMarks(identities []string, rbsp []byte) []string {
	for len(rbsp) > 2 { // a message has at least type and size; rbsp_trailing_bits follow the last
		kind, rest := seiNumber(rbsp)
		size, payload := seiNumber(rest)
		if size > len(payload) {
			return identities
		}
		if body, ok := bytes.CutPrefix(payload[:size], markUUID[:]); ok && kind == seiUserDataUnregistered {
			identities = append(identities, string(body))
		}
		rbsp = payload[size:]
	}
	return identities
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
