package session

import (
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/bubble"
)

// While the line cannot carry the film, the viewer gets the lower film. Everything shown can be decoded, and more is
// shown than without the lower film.
func TestLowerStreamOverALine(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := both(2_000_000, 0.05, 50*ms).lasting(time.Minute)
		s.carrier, s.low = media.H264Carrier, 250_000
		if shown := s.run(t); len(shown.turns) != 1 || shown.turns[0] {
			t.Errorf("over a line that carries the film the lower one was shown: %v", shown.turns)
		}
	})
	bubble.Test(t, func(t *testing.T) {
		s := both(600_000, 0, 50*ms).lasting(time.Minute)
		s.carrier, s.low = media.H264Carrier, 250_000
		s.change = func(at time.Duration, up, down *line) {
			if q := s.up; at == 25*time.Second {
				q.rate = 4_000_000
				up.set(q)
				down.set(q)
			}
		}

		var v verdict
		shown := s.run(t)
		v.add(shown)
		t.Log(&v)
		if share := float64(v.shown) / float64(v.captured); v.spoiled > 0 || v.freezes() > 0 || len(v.rejections) > 0 ||
			share < 0.85 {
			t.Errorf("%.0f %% of the pictures are shown", 100*share)
		}

		if len(shown.turns) != 3 || shown.turns[0] || !shown.turns[1] || shown.turns[2] {
			t.Errorf("the lower film was shown: %v, want false, true, false", shown.turns)
		}
		low := 0
		for _, n := range shown.sending {
			if n.Lower {
				low++
			}
		}

		if last := shown.sending[len(shown.sending)-1]; low < 5 || last.Lower || last.LeftOut == 0 ||
			len(shown.sending) < 25 {
			t.Errorf("%d of %d reports name the lower film; the last report is %+v", low, len(shown.sending), last)
		}

		if said := strings.Join(v.status, "; "); !strings.Contains(said, "this is the lower one") ||
			!strings.HasSuffix(said, "; ") {
			t.Errorf("the person was told %q", v.status)
		}
	})
}
