package netlimit

import (
	"errors"
	"math"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawPayer draws one of few payers, so that they share networks at every level.
func drawPayer(t *rapid.T) Payer {
	few := func(name string) byte { return byte(rapid.IntRange(0, 2).Draw(t, name)) }
	switch rapid.IntRange(0, 9).Draw(t, "kind of payer") {
	case 0:
		return PayerOf(netip.Addr{})
	case 1, 2:
		return PayerOf(netip.AddrFrom4([4]byte{192, 0, 2, few("host")}))
	case 3, 4:
		return Named([16]byte{few("name")})
	}

	return PayerOf(netip.AddrFrom16([16]byte{
		0x20, 1, 0xd, 0xb8,
		5: few("/48"), 6: few("/56"), 7: few("/64"), 15: few("host"),
	}))
}

func drawConfig(t *rapid.T) Config {
	share := func(name string) Share {
		return Share{
			Max:  rapid.SampledFrom([]int64{0, 0, 3, 40}).Draw(t, name+" most"),
			Free: rapid.SampledFrom([]float64{0, 1. / 8, 1, 4}).Draw(t, name+" of what is free"),
			Min:  rapid.SampledFrom([]int64{0, 0, 2}).Draw(t, name+" least"),
		}
	}
	return Config{
		Size:    rapid.SampledFrom([]int64{1, 10, 1000}).Draw(t, "size"),
		IPv4:    share("IPv4"),
		Host:    share("/64"),
		Site:    share("/56"),
		Network: share("/48"),
		Named:   share("name"),
	}
}

// oracle adds up what everybody holds, each time anew.
type oracle struct {
	cfg   Config
	taken []taken
}

type taken struct {
	who    Payer
	amount float64
	lease  *Lease
}

// margin returns by how much an amount stays below the payer's lowest threshold; it is negative if the amount must be
// refused.
func (o *oracle) margin(who Payer, amount float64) float64 {
	if amount == 0 {
		return math.Inf(1)
	}
	free := float64(o.cfg.Size) - amount
	held := map[key]float64{}
	for _, one := range o.taken {
		free -= one.amount
		for _, k := range one.who.path() {
			held[k] += one.amount
		}
	}

	margin := free
	free = max(free, 0)
	for _, k := range who.path() {
		share := o.cfg.shares()[k.kind]
		margin = min(margin, max(share.Free*free*free/float64(o.cfg.Size), float64(share.Min))-held[k]-amount)
		if share.Max > 0 {
			margin = min(margin, float64(share.Max)-held[k]-amount)
		}
	}

	return margin
}

// nodes returns how many payers hold a lease, at all levels together.
func (o *oracle) nodes() int {
	all := map[key]bool{}
	for _, one := range o.taken {
		for _, k := range one.who.path() {
			all[k] = true
		}
	}
	return len(all)
}

// TestModelPool: whatever is acquired, grown, shrunk and released, an amount is refused if and only if it exceeds a
// threshold, and nothing is counted twice or forgotten.
func TestModelPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		p, o := NewPool(cfg), &oracle{cfg: cfg.withDefaults()}
		some := func() int { return rapid.IntRange(0, len(o.taken)-1).Draw(t, "which") }
		amount := rapid.Int64Range(0, max(cfg.Size/8, 2))
		judge := func(fits bool, err error) {
			if fits != (err == nil) {
				t.Fatalf("fits: %v, said %v", fits, err)
			}
		}

		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				who, n := drawPayer(t), amount.Draw(t, "amount")
				fits := o.margin(who, float64(n)) >= 0
				lease, err := p.Acquire(who, n)
				judge(fits, err)
				if err == nil {
					o.taken = append(o.taken, taken{who: who, amount: float64(n), lease: lease})
				}
			},
			"grow": func(t *rapid.T) {
				if len(o.taken) == 0 {
					t.Skip("nothing is taken")
				}
				one, n := &o.taken[some()], 1+amount.Draw(t, "amount")
				fits := o.margin(one.who, float64(n)) >= 0
				err := one.lease.Grow(n)
				judge(fits, err)
				if err == nil {
					one.amount += float64(n)
				}
			},
			"shrink": func(t *rapid.T) {
				if len(o.taken) == 0 {
					t.Skip("nothing is taken")
				}
				one, n := &o.taken[some()], amount.Draw(t, "amount")
				one.lease.Shrink(n)
				one.amount = max(one.amount-float64(n), 0)
			},
			"release": func(t *rapid.T) {
				if len(o.taken) == 0 {
					t.Skip("nothing is taken")
				}
				i := some()
				o.taken[i].lease.Release()
				o.taken = append(o.taken[:i], o.taken[i+1:]...)
			},
			"": func(t *rapid.T) {
				used := 0.
				for _, one := range o.taken {
					used += one.amount
					if got := one.lease.Held(); float64(got) != one.amount {
						t.Fatalf("a lease holds %d, want %v", got, one.amount)
					}
				}

				if got := p.Used(); float64(got) != used {
					t.Fatalf("%d used, want %v", got, used)
				}
				if got := p.Payers(); got != o.nodes() {
					t.Fatalf("%d payers known, want %d", got, o.nodes())
				}
			},
		})
	})
}

// TestModelHeavierPayerIsServedNoBetter: when a payer is refused, so is every payer that holds at least as much at each
// level.
func TestModelHeavierPayerIsServedNoBetter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		p := NewPool(cfg)
		for range rapid.IntRange(1, 60).Draw(t, "takes") {
			p.Acquire(drawPayer(t), rapid.Int64Range(0, max(cfg.Size/16, 1)).Draw(t, "amount"))
		}

		// Pairs that cannot be compared are no cases, and are not drawn again: rapid gives up if it draws too many.
		light, heavy := drawPayer(t), drawPayer(t)
		if !p.ledger.isLighter(light, heavy) {
			light, heavy = heavy, light
		}
		if !p.ledger.isLighter(light, heavy) {
			return
		}

		n := rapid.Int64Range(1, max(cfg.Size/4, 2)).Draw(t, "wanted")
		served, err := p.Acquire(heavy, n)
		if err != nil {
			return
		}
		served.Release()
		if _, err := p.Acquire(light, n); err != nil {
			t.Fatalf("the heavier payer was served, the lighter one got %v", err)
		}
	})
}

// isLighter reports whether two payers are of one kind, and light holds no more than heavy at any level.
func (l *ledger) isLighter(light, heavy Payer) bool {
	if light.n != heavy.n || light.n == 0 {
		return false
	}
	for i, k := range light.path() {
		of, other := l.nodes[k], l.nodes[heavy.keys[i]]
		if k.kind != heavy.keys[i].kind || of != nil && (other == nil || other.held < of.held) {
			return false
		}
	}
	return true
}

// TestModelRate: an amount is refused if and only if earlier charges have not faded enough, and Delay says when they
// will have.
func TestModelRate(t *testing.T) {
	const window = 10 * time.Second
	const unsure = 1e-6         // a margin too small for float64
	const forgotten = 2 * trace // what forgetting a payer may lose

	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		r, o := NewRate(cfg, window), &oracle{cfg: cfg.withDefaults()}
		now := start
		fadeTo := func(later time.Time) {
			for i := range o.taken {
				o.taken[i].amount *= math.Exp(-later.Sub(now).Seconds() / window.Seconds())
			}
			now = later
		}

		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				who, n := drawPayer(t), rapid.Int64Range(0, max(cfg.Size/8, 2)).Draw(t, "amount")
				margin := o.margin(who, float64(n))
				err := r.Charge(who, n, now)
				if margin > unsure && err != nil || margin < -forgotten && err == nil {
					t.Fatalf("margin %v, said %v", margin, err)
				}

				if err == nil {
					o.taken = append(o.taken, taken{who: who, amount: float64(n)})
				}
			},
			"pass": func(t *rapid.T) {
				fadeTo(now.Add(time.Duration(rapid.Int64Range(0, int64(3*window)).Draw(t, "time"))))
			},
			"delay": func(t *rapid.T) {
				who, n := drawPayer(t), rapid.Int64Range(0, max(cfg.Size/8, 2)).Draw(t, "amount")
				delay := r.Delay(who, n, now)
				if delay == math.MaxInt64 {
					fadeTo(now.Add(100 * window))
				} else {
					fadeTo(now.Add(delay))
				}

				margin := o.margin(who, float64(n))
				err := r.Charge(who, n, now)
				switch {
				case delay == math.MaxInt64 && margin < -forgotten && err == nil:
					t.Fatal("charged, although Delay said never")
				case delay < math.MaxInt64 && err != nil:
					t.Fatalf("refused after the delay of %v: %v", delay, err)
				case err == nil:
					o.taken = append(o.taken, taken{who: who, amount: float64(n)})
				case !errors.Is(err, ErrShare) && !errors.Is(err, ErrFull):
					t.Fatal(err)
				}
			},
		})
	})
}
