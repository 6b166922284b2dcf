package turn

import (
	"sync/atomic"
	"time"
)

// pace is a token bucket (RFC 2697's, with one rate) of bytes: what passes is at most rate a second, after a burst of at most
// one second's worth. It is one word, so that a packet takes no lock, and an idle one costs nothing. The zero value is full.
type pace struct {
	due atomic.Int64 // when the bucket is full again, in nanoseconds since the epoch that now is counted from
}

// full says whether a burst could pass now.
func (p *pace) full(now time.Duration) bool { return p.due.Load() <= int64(now) }

// empty takes all that could pass now.
func (p *pace) empty(now time.Duration) { p.due.Store(int64(now + time.Second)) }

// take says whether n bytes may pass now, and takes them. A rate is in bytes a second; 0 is no limit.
func (p *pace) take(n int, rate int64, now time.Duration) bool {
	if rate == 0 {
		return true
	}
	cost := int64(n) * int64(time.Second) / rate
	for {
		was := p.due.Load()
		due := max(was, int64(now)) + cost
		if due-int64(now) > int64(time.Second) {
			return false
		}
		if p.due.CompareAndSwap(was, due) {
			return true
		}
	}
}
