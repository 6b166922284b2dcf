package session

import "sync/atomic"

// Sending is how a camera's end of a session sends, as it tells the viewer every sendingEvery.
type Sending struct {
	Rate      int  `json:"rate_kbps"`     // what the path is believed to carry
	Limited   bool `json:"limited"`       // that was measured: the path's limit has been seen
	RoundTrip int  `json:"round_trip_ms"` // without queues on the way there
	Again     int  `json:"sent_again"`    // packets that were
	LeftOut   int  `json:"left_out"`      // pictures that the path did not carry
	Lower     bool `json:"lower"`         // the camera's lower stream is sent
}

// sendingEvery is in seconds.
const sendingEvery = 2

// tally counts what a sender does about a path that does not carry everything.
type tally struct{ again, left atomic.Int64 }

// sending is how it goes.
func (s *sender) sending() *Sending {
	return &Sending{
		Rate: int(s.pacer.rate() / 1000), Limited: s.pacer.measured() > 0, RoundTrip: int(s.pacer.roundTrip().Milliseconds()),
		Again: int(s.tally.again.Load()), LeftOut: int(s.tally.left.Load()), Lower: s.streams.lower.Load(),
	}
}

// tellSending tells now and then how it sends.
func (c *Camera) tellSending() error {
	if c.ticks++; c.ticks%sendingEvery != 0 || !c.greeted || !c.live {
		return nil
	}
	return c.sendData(message{Type: "sending", Sending: c.sender.sending()})
}
