package netlimit

import (
	"errors"
	"math"
	"testing"
	"time"
)

var start = time.Unix(1_800_000_000, 0)

func TestRateGivesABurstAndThenItsShareOfTheWindow(t *testing.T) {
	const window = 10 * time.Second
	r := NewRate(Config{Size: 1000}, window)
	who := addr("192.0.2.1")
	burst := 0
	for r.Charge(who, 1, start) == nil {
		burst++
	}

	if burst != 171 {
		t.Errorf("%d at once", burst)
	}

	taken := 0
	for at := start; at.Before(start.Add(10 * window)); at = at.Add(10 * time.Millisecond) {
		if r.Charge(who, 1, at) == nil {
			taken++
		}
	}

	if taken < 1690 || taken > 1720 {
		t.Errorf("%d in ten windows, want some 1710", taken)
	}
}

func TestRateFadesToOneEth(t *testing.T) {
	r := NewRate(Config{Size: 1000, IPv4: Share{Free: 1e9}}, time.Minute)
	who := addr("192.0.2.1")
	if err := r.Charge(who, 998, start); err != nil {
		t.Fatal(err)
	}

	later := start.Add(time.Minute)
	if err := r.Charge(who, 1000-367, later); err == nil {
		t.Error("more came back than fades in a window")
	}
	if err := r.Charge(who, 1000-370, later); err != nil {
		t.Errorf("what fades in a window did not come back: %v", err)
	}
}

func TestWindowThatIsNotPositiveIsASecond(t *testing.T) {
	for window, want := range map[time.Duration]float64{-time.Hour: 1, 0: 1, 1: 1e-9, time.Minute: 60} {
		if got := NewRate(Config{Size: 1}, window).window; got != want {
			t.Errorf("%v is taken as %v s, want %v s", window, got, want)
		}
	}
}

func TestBusyPayerDoesNotSlowOthers(t *testing.T) {
	r := NewRate(Config{Size: 1000}, time.Second)
	at := start
	for i := range 100_000 {
		at = at.Add(10 * time.Microsecond)
		r.Charge(addr("2001:db8:0:%x::1", i%65536), 1, at)
	}

	for _, honest := range []Payer{addr("192.0.2.1"), addr("2001:db8:1::1")} {
		for i := range 30 {
			if err := r.Charge(honest, 1, at); err != nil {
				t.Fatalf("number %d of an honest client: %v", i, err)
			}
		}
	}
}

func TestTimeThatGoesBackGivesNothing(t *testing.T) {
	r := NewRate(Config{Size: 1000, IPv4: Share{Max: 1}}, time.Second)
	who := addr("192.0.2.1")
	if err := r.Charge(who, 1, start); err != nil {
		t.Fatal(err)
	}
	if err := r.Charge(who, 1, start.Add(-time.Hour)); !errors.Is(err, ErrShare) {
		t.Errorf("an hour before: %v", err)
	}

	if err := r.Charge(who, 1, start.Add(time.Millisecond)); !errors.Is(err, ErrShare) {
		t.Errorf("a millisecond after: %v", err)
	}
}

func TestRateAfterALongTimeIsAsNew(t *testing.T) {
	for _, pause := range []time.Duration{25 * time.Second, time.Hour, math.MaxInt64} {
		r := NewRate(Config{Size: 1000}, time.Second)
		for r.Charge(addr("192.0.2.1"), 1, start) == nil {
		}

		later := start.Add(pause)
		if err := r.Charge(addr("192.0.2.2"), 170, later); err != nil {
			t.Errorf("after %v: %v", pause, err)
		}
		if err := r.Charge(addr("192.0.2.1"), 100, later); err != nil {
			t.Errorf("the same payer after %v: %v", pause, err)
		}
	}
}

func TestRateForgetsPayersThatHaveFaded(t *testing.T) {
	r := NewRate(Config{Size: 1 << 30}, time.Second)
	for i := range 1000 {
		if err := r.Charge(addr("2001:db8:%x::1", i), 1, start); err != nil {
			t.Fatal(err)
		}
	}

	if got := len(r.ledger.nodes); got != 3000 {
		t.Fatalf("%d nodes", got)
	}

	for i := range 1000 {
		before := len(r.ledger.nodes)
		if err := r.Charge(addr("192.0.2.1"), 1, start.Add(5*time.Second)); err != nil {
			t.Fatal(i, err)
		}
		if forgotten := before - len(r.ledger.nodes); forgotten > 6 { // a charge takes a constant number of steps
			t.Fatalf("one charge forgets %d", forgotten)
		}
	}

	if got := len(r.ledger.nodes); got != 1 || len(r.ledger.ring) != 1 {
		t.Errorf("%d nodes and %d in the ring, want that of the last payer", got, len(r.ledger.ring))
	}
}

// TestSweepMissesNobody: the payer that takes the place of one that was forgotten is visited next.
func TestSweepMissesNobody(t *testing.T) {
	r := NewRate(Config{Size: 1000}, time.Second)
	l := &r.ledger
	for i := range 8 {
		at := l.enter(addr("192.0.2.%d", i))
		if err := l.add(at, 1); err != nil {
			t.Fatal(err)
		}
		l.leave(at)
	}
	l.ring[0].held, l.ring[7].held = trace/2, trace/2

	r.sweep() // visits six
	if got := len(l.ring); got != 6 {
		t.Errorf("%d of 8 payers are known, want the 6 that have not faded", got)
	}
}

// TestPayerIsForgottenBelowASixteenth: a charge of 1 has faded to a sixteenth after 2.77 windows.
func TestPayerIsForgottenBelowASixteenth(t *testing.T) {
	for after, want := range map[time.Duration]int{2700 * time.Millisecond: 2, 2800 * time.Millisecond: 1} {
		r := NewRate(Config{Size: 1000}, time.Second)
		for i, at := range []time.Time{start, start.Add(after)} {
			if err := r.Charge(addr("192.0.2.%d", i), 1, at); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(r.ledger.nodes); got != want {
			t.Errorf("after %v: %d payers are known, want %d", after, got, want)
		}
	}
}

// TestChargesOutliveTheScale: when amounts are scaled down, after 20.8 windows, nothing fades faster than before.
func TestChargesOutliveTheScale(t *testing.T) {
	r := NewRate(Config{Size: 1000, IPv4: Share{Free: 1e9}}, time.Second)
	who, before := addr("192.0.2.1"), start.Add(20_700*time.Millisecond)
	if err := errors.Join(r.Charge(who, 1, start), r.Charge(who, 998, before)); err != nil {
		t.Fatal(err)
	}

	after := before.Add(200 * time.Millisecond) // a charge is 0.819 of itself, so 183 have come back
	if r.ledger.scale < 1e8 {
		t.Fatalf("the scale is %v already", r.ledger.scale)
	}
	if r.Charge(who, 184, after) == nil || r.ledger.scale != 1 {
		t.Errorf("184 were taken, or the scale is still %v", r.ledger.scale)
	}
	if err := r.Charge(who, 182, after); err != nil {
		t.Errorf("182: %v", err)
	}
}

func TestDelayIsWhenTheNextChargeWorks(t *testing.T) {
	for name, cfg := range map[string]Config{
		"share of what is free": {Size: 1000},
		"fixed maximum":         {Size: 1000, IPv4: Share{Max: 20}},
		"all of it":             {Size: 100, IPv4: Share{Free: 1e9}},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRate(cfg, time.Second)
			who := addr("192.0.2.1")
			for r.Charge(who, 1, start) == nil {
			}

			delay := r.Delay(who, 5, start)
			if delay <= 0 || delay > 10*time.Second {
				t.Fatalf("a delay of %v", delay)
			}
			if err := r.Charge(who, 5, start.Add(delay*9/10)); err == nil {
				t.Error("taken before the delay was over")
			}

			if err := r.Charge(who, 5, start.Add(delay)); err != nil {
				t.Errorf("after the delay: %v", err)
			}
		})
	}
}

// TestNothingNeedsNoDelay: where a payer has all of its share, and where others have left less than that.
func TestNothingNeedsNoDelay(t *testing.T) {
	r := NewRate(Config{Size: 1000, Named: Share{Free: 1e9}}, time.Second)
	who := addr("192.0.2.1")
	for r.Charge(who, 1, start) == nil {
	}
	for range 2 {
		for _, n := range []int64{0, -1} {
			if got := r.Delay(who, n, start); got != 0 {
				t.Errorf("%d is possible after %v", n, got)
			}
		}
		if err := r.Charge(Named([16]byte{1}), 700, start); err != nil {
			break
		}
	}
}

// TestRoundingDelaysNobody: amounts so large that a float64 is hardly exact enough for the sum of two.
func TestRoundingDelaysNobody(t *testing.T) {
	const size = 1 << 52
	for i := range int64(1000) {
		r := NewRate(Config{Size: size, IPv4: Share{Free: 1e9}, Named: Share{Free: 1e9}}, time.Second)
		if err := r.Charge(Named([16]byte{1}), i*(size/1000), start); err != nil {
			t.Fatal(err)
		}
		if got := r.Delay(addr("192.0.2.1"), 1, start); got != 0 {
			t.Fatalf("one of what is free is possible after %v", got)
		}
	}
}

func TestDelayOfWhatIsNeverPossible(t *testing.T) {
	r := NewRate(Config{Size: 1000, Named: Share{Max: 5}}, time.Second)
	if got := r.Delay(addr("192.0.2.1"), 251, start); got != math.MaxInt64 {
		t.Errorf("more than its share: %v", got)
	}
	if got := r.Delay(Named([16]byte{1}), 6, start); got != math.MaxInt64 {
		t.Errorf("more than the maximum: %v", got)
	}

	few := NewRate(Config{Size: 1000, IPv4: Share{Max: 1}}, time.Second)
	if err := few.Charge(addr("192.0.2.1"), 1, start); err != nil {
		t.Fatal(err)
	}
	if got := few.Delay(addr("192.0.2.1"), 1, start); got != math.MaxInt64 {
		t.Errorf("one more, before all of the maximum of 1 has faded: %v", got)
	}

	if got := r.Delay(Named([16]byte{1}), 5, start); got != 0 {
		t.Errorf("the maximum at once: %v", got)
	}
	if len(r.ledger.nodes) != 0 {
		t.Errorf("asking left %d payers", len(r.ledger.nodes))
	}
}
