package stream

import (
	"sync/atomic"

	"github.com/peephole-cam/peephole/session/handshake"
)

// tally counts what a sender does because a path does not carry everything.
type tally struct{ again, left atomic.Int64 }

// Stats returns statistics about what the sender sends.
func (s *Sender) Stats() *handshake.SendStats {
	return &handshake.SendStats{
		Rate:      int(s.pacer.Rate() / 1000),
		Limited:   s.pacer.Measured() > 0,
		RoundTrip: int(s.pacer.RoundTrip().Milliseconds()),
		Again:     int(s.tally.again.Load()),
		LeftOut:   int(s.tally.left.Load()),
		Lower:     s.streams.lower.Load(),
	}
}
