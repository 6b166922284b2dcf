package turn

import (
	"sync/atomic"
	"time"
)

// tokenBucket limits bytes to a rate a second, after a burst of at most one second's worth (RFC 2697, with one rate).
// It is one word, so that a packet takes no lock and an idle one costs nothing. The zero value is full. Its methods
// take now as the time since an epoch that the caller chooses.
type tokenBucket struct {
	fullAt atomic.Int64 // when the bucket is full again, in nanoseconds since that epoch
}

// isFull reports whether a whole burst could pass now.
func (b *tokenBucket) isFull(now time.Duration) bool { return b.fullAt.Load() <= int64(now) }

// drain takes everything that could pass now.
func (b *tokenBucket) drain(now time.Duration) { b.fullAt.Store(int64(now + time.Second)) }

// takeTokens reports whether n bytes may pass now, and takes them if so. The rate is in bytes a second; 0 is no limit.
func (b *tokenBucket) takeTokens(n int, rate int64, now time.Duration) bool {
	if rate == 0 {
		return true
	}

	cost := int64(n) * int64(time.Second) / rate
	for {
		was := b.fullAt.Load()
		fullAt := max(was, int64(now)) + cost
		if fullAt-int64(now) > int64(time.Second) {
			return false
		}
		if b.fullAt.CompareAndSwap(was, fullAt) {
			return true
		}
	}
}
