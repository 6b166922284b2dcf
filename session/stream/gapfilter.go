package stream

import (
	"time"

	"github.com/peephole-cam/peephole/session/handshake"
)

// missingEvery is how often the viewer asks for a keyframe while there is none.
const missingEvery = 500 * time.Millisecond

// gapFilter finds the pictures that can be decoded: those from a keyframe on, as long as none is missing.
type gapFilter struct {
	whole bool      // all pictures from a keyframe up to next have arrived
	next  uint64    // the counter that comes next
	asked time.Time // when the viewer last asked for a keyframe
}

// decodable reports whether the next picture can be decoded.
func (g *gapFilter) decodable(f handshake.Frame) bool {
	g.whole = f.Keyframe || g.whole && f.First == g.next
	g.next = f.CTR + 1
	return g.whole
}

// shouldAsk reports whether to ask for a keyframe now. If so, it notes that the viewer has asked.
func (g *gapFilter) shouldAsk() bool {
	if time.Since(g.asked) <= missingEvery {
		return false
	}
	g.asked = time.Now()
	return true
}
