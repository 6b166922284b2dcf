package punch

import "crypto/subtle"

// A packet of this package is not STUN, DTLS, RTP or TURN to anybody who looks at its first byte (RFC 7983, section 7):
//
//	+-----------+---------+------------+
//	| u8 = 0xf0 | u8 kind | token [16] |
//	+-----------+---------+------------+
const (
	firstByte  = 0xf0
	packetSize = 2 + TokenSize
)

// TokenSize is that of a Token, in bytes.
const TokenSize = 16

// Token is what an end asks to find in the probes of the other: 16 random bytes of one run.
type Token [TokenSize]byte

type kind byte

const (
	probe  kind = 1 // is anybody there?
	answer kind = 2 // this is the way; from the spreader, which chooses
)

func appendPacket(k kind, t Token) []byte { return append([]byte{firstByte, byte(k)}, t[:]...) }

// ours says whether a packet is one of this package's, whatever is in it.
func ours(b []byte) bool { return len(b) == packetSize && b[0] == firstByte }

// parse is for a packet that is ours. It reports false when the token is another one.
func parse(b []byte, want Token) (kind, bool) {
	k := kind(b[1])
	return k, (k == probe || k == answer) && subtle.ConstantTimeCompare(b[2:], want[:]) == 1
}
