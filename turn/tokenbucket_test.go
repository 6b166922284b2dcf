package turn

import (
	"testing"
	"time"
)

// TestTokenBucketLimitsTheRate: after a burst of one second's worth, half of a steady stream at twice the rate passes.
// A pause gives back no more than that burst.
func TestTokenBucketLimitsTheRate(t *testing.T) {
	const rate, size = 1_000_000, 1000
	var b tokenBucket
	pass := func(from, to time.Duration) (n int) {
		for at := from; at < to; at += 500 * time.Microsecond { // 2 MB a second
			if b.takeTokens(size, rate, at) {
				n++
			}
		}
		return n * size
	}

	if got := pass(0, 2*time.Second); got < 2*rate || got > 3*rate {
		t.Errorf("%d bytes in two seconds, burst and all", got)
	}
	if got := pass(2*time.Second, 12*time.Second); got < 99*rate/10 || got > 101*rate/10 {
		t.Errorf("%d bytes in ten seconds", got)
	}

	if got := pass(time.Hour, time.Hour+time.Second); got < 199*rate/100 || got > 2*rate {
		t.Errorf("%d bytes in the second after a pause", got)
	}
	if b.takeTokens(2*rate, rate, 2*time.Hour) {
		t.Error("more than a burst passed at once")
	}

	if !b.takeTokens(1<<30, 0, 2*time.Hour) {
		t.Error("a rate of 0 limits")
	}
}
