package netlimit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// TestWaitersOfOnePayerTakeTheirTurns has one busy address and an honest one beside it.
func TestWaitersOfOnePayerTakeTheirTurns(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const waiters, each = 50, 20
		r := NewRate(Config{Size: 1000}, time.Second) // an address alone: 171 at once and a second
		begin := time.Now()

		var all sync.WaitGroup
		for range waiters {
			all.Go(func() {
				for range each {
					if _, err := r.Wait(t.Context(), addr("192.0.2.1"), 1); err != nil {
						t.Error(err)
					}
				}
			})
		}

		time.Sleep(100 * time.Millisecond) // of the bubble's clock: the busy address now waits
		if waited, err := r.Wait(t.Context(), addr("192.0.2.2"), 100); waited || err != nil {
			t.Errorf("an honest address waited: %v, %v", waited, err)
		}

		all.Wait()
		took := time.Since(begin)
		if took < 4*time.Second || took > 8*time.Second {
			t.Errorf("1000 in %v, want them at some 171 a second", took)
		}
	})
}

func TestWaitersAreWokenInTurn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := NewRate(Config{Size: 1000, IPv4: Share{Max: 10}}, time.Second)
		who := addr("192.0.2.1")
		if err := r.Charge(who, 10, time.Now()); err != nil {
			t.Fatal(err)
		}

		last := time.Duration(0)
		for n := range 6 {
			pause, leave, err := r.queue(who, 1)
			if err != nil || leave == nil {
				t.Fatal("not queued:", err)
			}
			if pause <= last {
				t.Errorf("waiter %d waits %v, the one before %v", n, pause, last)
			}

			last = pause
			defer leave()
		}
	})
}

func TestWaitTellsWhetherItHadToWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := NewRate(Config{Size: 1000, IPv4: Share{Max: 2}}, time.Second)
		for n, want := range []bool{false, false, true, true} {
			if waited, err := r.Wait(t.Context(), addr("192.0.2.1"), 1); waited != want || err != nil {
				t.Errorf("call %d: waited %t, want %t (%v)", n, waited, want, err)
			}
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := NewRate(Config{Size: 1000, IPv4: Share{Max: 2}}, time.Hour)
		who := addr("192.0.2.1")
		if waited, err := r.Wait(t.Context(), who, 2); waited || err != nil {
			t.Fatal(waited, err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if waited, err := r.Wait(ctx, who, 1); !waited || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited: %v, %v", waited, err)
		}

		if n := r.ledger.nodes[who.path()[0]]; n.queued != 0 || n.leases != 0 {
			t.Errorf("it left %v queued, %d leases", n.queued, n.leases)
		}
	})
}

func TestWaitForWhatIsNeverPossible(t *testing.T) {
	r := NewRate(Config{Size: 1000}, time.Second)
	if _, err := r.Wait(t.Context(), addr("192.0.2.1"), 300); !errors.Is(err, ErrShare) {
		t.Errorf("more than its share: %v", err)
	}
	if len(r.ledger.nodes) != 0 {
		t.Errorf("%d payers are remembered", len(r.ledger.nodes))
	}
}
