package clock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

func TestTimeoutEndsInItsTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		<-ctx.Done()
		if took := time.Since(began); took != 2500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the cause is %v", err)
		}
	})
}

func TestTimeoutEndsWithItsParentAndItsUser(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		parent, end := context.WithCancel(t.Context())
		one, cancelOne := WithTimeout(parent, time.Hour)
		defer cancelOne()
		two, cancelTwo := WithTimeout(t.Context(), time.Hour)
		end()
		cancelTwo()
		synctest.Wait()
		for _, ctx := range []context.Context{one, two} {
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("the cause is %v", err)
			}
		}
	})
}

// A starved process waits longer, but not for ever.
func TestStarvedTimeHardlyCounts(t *testing.T) {
	for _, tt := range []struct{ passed, starved, want time.Duration }{
		{time.Second, 0, time.Second},
		{3 * time.Second, 2 * time.Second, time.Second},
		{time.Second, time.Second, 100 * time.Millisecond},
	} {
		if got := counted(tt.passed, tt.starved); got != tt.want {
			t.Errorf("of %v, %v of them starved, %v count; want %v", tt.passed, tt.starved, got, tt.want)
		}
	}
}
