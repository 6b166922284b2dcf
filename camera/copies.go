package camera

import (
	"crypto/sha256"

	"github.com/peephole-cam/peephole/signaling"
)

// copies recognizes envelopes that come again, byte for byte, because several carriers deliver them, or one of them
// more than once. So a copy costs no operation with a private key, and nothing of the viewer's allowance. It remembers
// as many as may come at once; envelope.Replays refuses a copy of any other.
type copies struct {
	opened [offersAtOnce]copied // envelopes that have opened
	next   int                  // the place of the next one
}

// copied is an envelope that has opened.
type copied struct {
	hash  [sha256.Size]byte
	route *signaling.Route // the carriers that have brought it
}

// route returns by which carriers a copy of an envelope has come, or nil if none has opened.
func (c *copies) route(wire []byte) *signaling.Route {
	hash := sha256.Sum256(wire)
	for _, o := range c.opened {
		if o.hash == hash {
			return o.route
		}
	}
	return nil
}

// add remembers an envelope that has opened, in place of the oldest.
func (c *copies) add(wire []byte, route *signaling.Route) {
	c.opened[c.next] = copied{sha256.Sum256(wire), route}
	c.next = (c.next + 1) % len(c.opened)
}
