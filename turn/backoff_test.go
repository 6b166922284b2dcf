package turn

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

func TestBackOffWaitsFrom5MillisecondsTo1Second(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var b backoff
		for _, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
			start := time.Now()
			if !b.after(nil) || time.Since(start) != want*time.Millisecond {
				t.Errorf("waited %s, want %d ms", time.Since(start), want)
			}
		}

		stop := make(chan struct{})
		close(stop)
		start := time.Now()
		if b.after(stop) || time.Since(start) != 0 {
			t.Errorf("it waited %s after stop", time.Since(start))
		}
	})
}
