package stream

import (
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/session/handshake"
)

// underwayAfter is how long a keyframe may take to leave before the camera tells the viewer why the person waits. The
// check runs once a second, and the person should learn it within three seconds.
const underwayAfter = time.Second

// underway is a keyframe that is leaving.
type underway struct {
	since time.Time
	size  int // bytes
}

// isSlow reports whether the keyframe takes long because it is large. If a small one takes long, the network is to
// blame.
func (u underway) isSlow() bool {
	return u.size > handshake.MaxPiece && time.Since(u.since) > underwayAfter
}

// text returns a sentence that says how long the keyframe takes at a rate in bit/s, and what to do.
func (u underway) text(rate float64) string {
	left := time.Duration(float64(u.size)*8/rate*float64(time.Second)) - time.Since(u.since)
	return fmt.Sprintf("one whole picture has %.1f MB, which takes this network %.0f s more: "+
		"lower the camera's resolution or bit rate, or choose its substream",
		float64(u.size)/1e6, max(left, time.Second).Seconds())
}
