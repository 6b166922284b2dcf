package session

import "time"

// missingEvery is how often a keyframe is asked for while there is none.
const missingEvery = 500 * time.Millisecond

// chain passes on the frames that can be decoded: from a keyframe on, as long as none is missing.
type chain struct {
	onFrame   func(Frame)
	onMissing func() // a keyframe is needed to go on

	whole bool      // all frames from a keyframe to next have come
	next  uint64    // counter
	asked time.Time // when a keyframe was last asked for
}

func (c *chain) take(f Frame) {
	c.whole = f.Keyframe || c.whole && f.CTR == c.next
	c.next = f.CTR + 1
	if c.whole {
		c.onFrame(f)
		return
	}
	if time.Since(c.asked) > missingEvery {
		c.asked = time.Now()
		c.onMissing()
	}
}
