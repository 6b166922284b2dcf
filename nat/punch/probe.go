package punch

import "crypto/subtle"

// The first byte of this package's packets tells them from STUN, DTLS, RTP, TURN and QUIC (RFC 9443, section 2):
//
//	+-----------+---------+------------+
//	| u8 = 0x0f | u8 kind | token [16] |
//	+-----------+---------+------------+
const (
	firstByte  = 0x0f
	packetSize = 2 + TokenSize
)

// TokenSize is the size of a Token, in bytes.
const TokenSize = 16

// Token is what an end wants to find in the other end's probes: 16 random bytes, good for one run.
type Token [TokenSize]byte

type kind byte

const (
	probe  kind = 1 // is anybody there?
	answer kind = 2 // use this path; sent by the spreader, which chooses
)

func appendPacket(k kind, t Token) []byte { return append([]byte{firstByte, byte(k)}, t[:]...) }

// ours reports whether a packet belongs to this package, whatever its token.
func ours(b []byte) bool { return len(b) == packetSize && b[0] == firstByte }

// parse reads a packet that is ours. It returns false if its kind is unknown or its token is not the one wanted.
func parse(b []byte, want Token) (kind, bool) {
	k := kind(b[1])
	return k, (k == probe || k == answer) && subtle.ConstantTimeCompare(b[2:], want[:]) == 1
}
