package media

import (
	"slices"
	"testing"
	"time"
)

// A missing packet is asked for when it can no longer be only overtaken, at once again in case the asking is lost, and then as often as
// answers take; and what has come is not asked for any more.
func TestHolesAreAskedFor(t *testing.T) {
	var h holes
	begin := time.Unix(1000, 0)
	h.add(65534, 2, begin)
	var asked []time.Duration
	for at := time.Duration(0); at < time.Second; at += ms {
		if at == 100*ms {
			h.fill(0, begin.Add(at))
		}
		numbers := h.ask(begin.Add(at))
		if len(numbers) == 0 {
			continue
		}
		want := []uint16{65534, 65535, 0, 1}
		if at > 100*ms {
			want = []uint16{65534, 65535, 1}
		}
		if !slices.Equal(numbers, want) {
			t.Errorf("after %v: %v, want %v", at, numbers, want)
		}
		asked = append(asked, at)
	}
	// An answer took 95 ms, and may vary by half of that, twice.
	retry := 95*ms + 95*ms
	if want := []time.Duration{5 * ms, 25 * ms, 25*ms + retry, 45*ms + retry, 45*ms + 2*retry, 65*ms + 2*retry, 65*ms + 3*retry, 85*ms + 3*retry, 85*ms + 4*retry, 105*ms + 4*retry}; !slices.Equal(asked, want) {
		t.Errorf("asked after %v, want %v", asked, want)
	}
}

// The time that an answer takes is learned from those that are certain, and the patience goes with it.
func TestHolesLearn(t *testing.T) {
	for _, tt := range []struct{ took, retry, patience time.Duration }{
		{20 * ms, 35 * ms, patienceLeast},
		{200 * ms, 215 * ms, patienceLeast},
		{600 * ms, retryMost, 1800 * ms},
		{900 * ms, retryMost, patienceMost},
	} {
		var h holes
		now := time.Unix(1000, 0)
		for n := range uint16(100) {
			h.add(n, n+1, now)
			now = now.Add(reordering)
			if got := h.ask(now); len(got) != 1 {
				t.Fatalf("asked for %v", got)
			}
			now = now.Add(tt.took)
			h.fill(n, now)
		}
		if got := h.retry(); got < tt.retry-5*ms || got > tt.retry+5*ms {
			t.Errorf("answers take %v: asked again after %v, want %v", tt.took, got, tt.retry)
		}
		h.add(200, 201, now)
		if h.overdue(now.Add(tt.patience-5*ms)) || !h.overdue(now.Add(tt.patience+5*ms)) {
			t.Errorf("answers take %v: given up at another time than after %v", tt.took, tt.patience)
		}
	}
}

// However much is missing, no more is asked for at once than fits into a packet or two.
func TestHolesAskForSomeAtOnce(t *testing.T) {
	var h holes
	now := time.Unix(1000, 0)
	h.add(0, 2000, now)
	now = now.Add(reordering)
	first, second := h.ask(now), h.ask(now)
	if len(first) != askMost || len(second) != askMost || second[0] != askMost {
		t.Errorf("asked for %d packets, and for %d", len(first), len(second))
	}
}
