package media

import (
	"slices"
	"testing"
	"time"
)

// A missing packet is requested once it has probably not just been overtaken, again shortly after in case the request
// is lost, and then once per round trip. A packet that has arrived is not requested again.
func TestMissingPacketsAreRequested(t *testing.T) {
	var l nackList
	begin := time.Unix(1000, 0)
	l.add(65534, 2, begin)
	var requested []time.Duration
	for at := time.Duration(0); at < time.Second; at += ms {
		if at == 100*ms {
			l.arrived(0, begin.Add(at))
		}
		numbers := l.request(begin.Add(at))
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
		requested = append(requested, at)
	}

	// The round trip took 95 ms, and its variation counts as half of that, twice.
	retry := 95*ms + 95*ms
	if want := []time.Duration{5 * ms, 25 * ms, 25*ms + retry, 45*ms + retry, 45*ms + 2*retry, 65*ms + 2*retry,
		65*ms + 3*retry, 85*ms + 3*retry, 85*ms + 4*retry, 105*ms + 4*retry}; !slices.Equal(requested, want) {
		t.Errorf("requested after %v, want %v", requested, want)
	}
}

// The round trip is learned from packets that clearly answer a request, and the patience grows with it.
func TestNACKListLearnsTheRoundTrip(t *testing.T) {
	for _, tt := range []struct{ took, retry, patience time.Duration }{
		{20 * ms, 35 * ms, minPatience},
		{200 * ms, 215 * ms, minPatience},
		{600 * ms, maxRetry, 1800 * ms},
		{900 * ms, maxRetry, maxPatience},
	} {
		var l nackList
		now := time.Unix(1000, 0)
		for n := range uint16(100) {
			l.add(n, n+1, now)
			now = now.Add(reorderDelay)
			if got := l.request(now); len(got) != 1 {
				t.Fatalf("requested %v", got)
			}
			now = now.Add(tt.took)
			l.arrived(n, now)
		}

		if got := l.retryDelay(); got < tt.retry-5*ms || got > tt.retry+5*ms {
			t.Errorf("round trip of %v: requested again after %v, want %v", tt.took, got, tt.retry)
		}
		l.add(200, 201, now)
		if l.overdue(now.Add(tt.patience-5*ms)) || !l.overdue(now.Add(tt.patience+5*ms)) {
			t.Errorf("round trip of %v: not given up after %v", tt.took, tt.patience)
		}
	}
}

// However much is missing, one request names no more packets than fit into a packet or two.
func TestRequestsAreBounded(t *testing.T) {
	var l nackList
	now := time.Unix(1000, 0)
	l.add(0, 2000, now)
	now = now.Add(reorderDelay)
	first, second := l.request(now), l.request(now)
	if len(first) != maxRequested || len(second) != maxRequested || second[0] != maxRequested {
		t.Errorf("requested %d packets, then %d", len(first), len(second))
	}
}
