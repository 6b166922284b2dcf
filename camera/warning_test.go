package camera

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

func TestWarningIsDueAtOnceAndThenOnceAMinute(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var w warning
		for i, tt := range []struct {
			after time.Duration
			due   bool
		}{
			{0, true},
			{0, false},
			{time.Minute - 1, false},
			{1, true},
			{time.Minute - 1, false},
			{time.Hour, true},
		} {
			time.Sleep(tt.after)
			if w.due() != tt.due {
				t.Errorf("cause %d, %s after the last: due %t, want %t", i, tt.after, !tt.due, tt.due)
			}
		}
	})
}
