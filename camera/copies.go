package camera

import "crypto/sha256"

// copies recognizes envelopes that come again, byte for byte, because several carriers deliver them, or one of them
// more than once. So a copy costs no operation with a private key, and nothing of the viewer's allowance. It remembers
// as many as may come at once; envelope.Replays refuses a copy of any other.
type copies struct {
	hashes [offersAtOnce][sha256.Size]byte // of envelopes that have opened
	next   int                             // the place of the next one
}

// has reports whether a copy of an envelope has opened.
func (c *copies) has(wire []byte) bool {
	hash := sha256.Sum256(wire)
	for i := range c.hashes {
		if c.hashes[i] == hash {
			return true
		}
	}
	return false
}

// add remembers an envelope that has opened, in place of the oldest.
func (c *copies) add(wire []byte) {
	c.hashes[c.next] = sha256.Sum256(wire)
	c.next = (c.next + 1) % len(c.hashes)
}
