package netlimit

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
)

func addr(format string, args ...any) Payer {
	return PayerOf(netip.MustParseAddr(fmt.Sprintf(format, args...)))
}

// takeAll grows a payer's lease by n until it is refused, and returns how much the payer got.
func takeAll(t *testing.T, p *Pool, who Payer, n int64) (got int64) {
	t.Helper()
	lease, err := p.Acquire(who, 0)
	if err != nil {
		t.Fatal(err)
	}

	for lease.Grow(n) == nil {
		got += n
	}
	return got
}

// TestOnePayerLeavesMostOfThePool: a payer alone holds h of 1, where h = Free × (1-h)².
func TestOnePayerLeavesMostOfThePool(t *testing.T) {
	for _, tt := range []struct {
		name string
		who  Payer
		want int64 // of 100,000, with the default shares
	}{
		{"IPv4 address", addr("192.0.2.1"), 17_157},
		{"IPv6 /64", addr("2001:db8::1"), 5_572},
		{"ticket", Named([16]byte{1}), 17_157},
		{"invalid address", Payer{}, 5_572},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPool(Config{Size: 100_000})
			if got := takeAll(t, p, tt.who, 1); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if _, err := p.Acquire(tt.who, 1); !errors.Is(err, ErrShare) {
				t.Errorf("refused with %v", err)
			}
		})
	}
}

// TestGreedyPayersLeaveTheirNumbersShare lets n addresses take all they can get, one after the other and for good.
func TestGreedyPayersLeaveTheirNumbersShare(t *testing.T) {
	const size = 1_000_000
	p := NewPool(Config{Size: size})
	for n := 1; n <= 250; n++ {
		takeAll(t, p, addr("192.0.2.%d", n), 1)
		if free, least := size-p.Used(), int64(size/(1+0.25*float64(n))); free < least {
			t.Fatalf("%d addresses leave %d, want %d", n, free, least)
		}
	}
}

// TestNetworkGetsNoMoreByHavingManyLinks is an attacker with a whole /56 or /48 who takes what each of its links can
// get.
func TestNetworkGetsNoMoreByHavingManyLinks(t *testing.T) {
	const size = 100_000
	for _, tt := range []struct {
		name   string
		format string
		links  int
		want   int64
	}{
		{"/56", "2001:db8:0:%x::1", 256, 10_102},
		{"/48", "2001:db8:0:%x::1", 4096, 17_157},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPool(Config{Size: size})
			for refused := 0; refused < tt.links; {
				refused = 0
				for i := range tt.links {
					if _, err := p.Acquire(addr(tt.format, i), 1); err != nil {
						refused++
					}
				}
			}

			if p.Used() != tt.want {
				t.Errorf("got %d, want %d", p.Used(), tt.want)
			}

			for _, honest := range []Payer{addr("192.0.2.1"), addr("2001:db8:ffff::1")} {
				if _, err := p.Acquire(honest, size/50); err != nil {
					t.Errorf("an honest client beside it: %v", err)
				}
			}
		})
	}
}

func TestHeaviestIsRefusedFirst(t *testing.T) {
	p := NewPool(Config{Size: 1000})
	heavy, light := addr("192.0.2.1"), addr("192.0.2.2")
	if got := takeAll(t, p, heavy, 1); got != 171 {
		t.Fatalf("the heavy one got %d", got)
	}
	small, err := p.Acquire(light, 1)
	if err != nil {
		t.Fatal(err)
	}

	for i := range 20 { // until little is free
		takeAll(t, p, addr("198.51.100.%d", i), 1)
	}
	if _, err := p.Acquire(heavy, 1); !errors.Is(err, ErrShare) {
		t.Errorf("the heaviest: %v", err)
	}

	if err := small.Grow(1); err != nil {
		t.Errorf("the light one: %v", err)
	}
	if _, err := p.Acquire(addr("203.0.113.1"), 1); err != nil {
		t.Errorf("a newcomer: %v", err)
	}
}

func TestWhatIsHeldIsNeverTakenAway(t *testing.T) {
	p := NewPool(Config{Size: 1000})
	first, err := p.Acquire(addr("192.0.2.1"), 170)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 250 {
		takeAll(t, p, addr("198.51.100.%d", i), 1)
	}

	if first.Held() != 170 {
		t.Errorf("the first one has %d left", first.Held())
	}
	if p.Used() > 1000 {
		t.Errorf("%d of 1000 are used", p.Used())
	}
}

func TestMaxBindsWhateverIsFree(t *testing.T) {
	p := NewPool(Config{Size: 1 << 30, IPv4: Share{Max: 3}, Named: Share{Max: 5}})
	if got := takeAll(t, p, addr("192.0.2.1"), 1); got != 3 {
		t.Errorf("the address got %d", got)
	}
	if got := takeAll(t, p, Named([16]byte{1}), 1); got != 5 {
		t.Errorf("the name got %d", got)
	}
}

func TestMinIsThereUnderPressure(t *testing.T) {
	p := NewPool(Config{Size: 1000, IPv4: Share{Free: 4, Min: 5}})
	for i := range 3 {
		takeAll(t, p, addr("192.0.2.%d", i), 1)
	}
	for i := range 10 {
		if got := takeAll(t, p, addr("198.51.100.%d", i), 1); got < 5 {
			t.Errorf("newcomer %d got %d", i, got)
		}
	}
}

func TestShareAllowsWhatAPoolWould(t *testing.T) {
	share := Share{Max: 300, Free: 1, Min: 10}
	for _, used := range []int64{0, 500, 900, 999, 1000} {
		p := NewPool(Config{Size: 1000, IPv4: share, Named: Share{Free: 1e9}})
		if _, err := p.Acquire(Named([16]byte{1}), used-used/10); err != nil {
			t.Fatal(err)
		}
		held, err := p.Acquire(addr("192.0.2.1"), used/10)
		if err != nil {
			t.Logf("of %d: %v", used, err)
			continue
		}

		for more := range int64(400) {
			allowed := share.Allows(held.Held(), more, 1000, used)
			if taken := held.Grow(more) == nil; taken != allowed {
				t.Fatalf("%d more with %d used: the pool says %v, the share %v", more, used, taken, allowed)
			} else if taken {
				held.Shrink(more)
			}
		}
	}
}

// TestMinIsThereToTheLast: as long as Min is free, a payer gets it, even if then nothing is left.
func TestMinIsThereToTheLast(t *testing.T) {
	share := Share{Free: 0.25, Min: 5}
	if !share.Allows(0, 5, 1000, 995) || share.Allows(0, 5, 1000, 996) || share.Allows(0, 6, 1000, 990) {
		t.Error("a payer does not get the last 5 of 1000, or gets more")
	}
}

func TestReleasedIsFreeAgain(t *testing.T) {
	p := NewPool(Config{Size: 1000})
	who := addr("2001:db8::1")
	lease, err := p.Acquire(who, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Grow(5); err != nil {
		t.Fatal(err)
	}

	lease.Shrink(12)
	if p.Used() != 3 || lease.Held() != 3 {
		t.Errorf("after shrinking %d are used and %d held", p.Used(), lease.Held())
	}
	lease.Shrink(4) // more than it has
	if p.Used() != 0 || p.Payers() != levels {
		t.Errorf("of an empty lease %d are used, %d payers known", p.Used(), p.Payers())
	}

	lease.Release()
	lease.Release()
	if p.Used() != 0 || p.Payers() != 0 {
		t.Errorf("after the release %d are used, %d payers known", p.Used(), p.Payers())
	}

	if err := lease.Grow(1); !errors.Is(err, ErrReleased) {
		t.Errorf("a released lease grew: %v", err)
	}
	lease.Shrink(1)
	if p.Used() != 0 {
		t.Errorf("%d used", p.Used())
	}
}

func TestRefusedAcquireLeavesNothing(t *testing.T) {
	p := NewPool(Config{Size: 100})
	if _, err := p.Acquire(addr("2001:db8::1"), 101); !errors.Is(err, ErrFull) {
		t.Errorf("more than there is: %v", err)
	}
	if _, err := p.Acquire(addr("2001:db8::1"), 50); !errors.Is(err, ErrShare) {
		t.Errorf("more than its share: %v", err)
	}

	if p.Used() != 0 || p.Payers() != 0 {
		t.Errorf("%d used, %d payers known", p.Used(), p.Payers())
	}
}

// TestNothingIsNeverRefused: a payer above a threshold that has fallen may still hold an empty lease, to grow later.
func TestNothingIsNeverRefused(t *testing.T) {
	p := NewPool(Config{Size: 1000})
	heavy := addr("192.0.2.1")
	takeAll(t, p, heavy, 1)
	for i := range 20 {
		takeAll(t, p, addr("198.51.100.%d", i), 1)
	}

	if _, err := p.Acquire(heavy, 0); err != nil {
		t.Error(err)
	}
}

func TestPoolWithoutSizeGivesNothing(t *testing.T) {
	for _, size := range []int64{0, -1} {
		if _, err := NewPool(Config{Size: size}).Acquire(addr("192.0.2.1"), 1); !errors.Is(err, ErrFull) {
			t.Errorf("of %d: %v", size, err)
		}
	}
}

func TestNegativeAmountsAreNothing(t *testing.T) {
	p := NewPool(Config{Size: 100})
	lease, err := p.Acquire(addr("192.0.2.1"), -5)
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Grow(-5); err != nil {
		t.Error(err)
	}

	lease.Shrink(-5)
	if p.Used() != 0 || lease.Held() != 0 {
		t.Errorf("%d used, %d held", p.Used(), lease.Held())
	}
}

// TestCrowdedNetworkLeavesPlaces floods the table of payers from one /48, and then from many.
func TestCrowdedNetworkLeavesPlaces(t *testing.T) {
	const payers = 64
	p := NewPool(Config{Size: 1 << 40, Payers: payers})
	hold := func(who Payer) *Lease {
		t.Helper()
		lease, err := p.Acquire(who, 1)
		if err != nil {
			t.Fatal(err)
		}
		return lease
	}

	var flood []*Lease
	for i := range 10_000 {
		flood = append(flood, hold(addr("2001:db8:0:%x::1", i)))
	}
	if got := p.Payers(); got != 5 { // a sixteenth of all, and the /48 itself
		t.Errorf("one /48 is counted as %d payers, want 5", got)
	}

	if got := flood[0].at[0].held; got != 10_000 {
		t.Errorf("the /48 holds %v", got)
	}
	honest := hold(addr("2001:db8:ffff::1"))
	if honest.at[levels-1] == nil || honest.at[0].held != 1 {
		t.Errorf("a newcomer has no place of its own: %v", honest.at)
	}

	var rest []*Lease
	for i := range 10_000 {
		rest = append(rest, hold(addr("192.0.%d.%d", i/250, i%250)))
	}
	if p.Payers() > payers {
		t.Errorf("%d payers are known, want %d at most", p.Payers(), payers)
	}

	if last := rest[len(rest)-1]; last.at[0] != &p.ledger.others {
		t.Errorf("the last one is counted as %v", last.at)
	}

	for _, lease := range append(append(flood, rest...), honest) {
		lease.Release()
	}
	if p.Used() != 0 || p.Payers() != 0 || p.ledger.others.held != 0 {
		t.Errorf("%d used, %d payers known, others hold %v", p.Used(), p.Payers(), p.ledger.others.held)
	}
}

// TestNetworkHasAPlaceInASmallTable: a sixteenth of few places is one.
func TestNetworkHasAPlaceInASmallTable(t *testing.T) {
	p := NewPool(Config{Size: 1 << 40, Payers: 8})
	for i := range 10 {
		if _, err := p.Acquire(addr("2001:db8:0:%x::1", i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Payers(); got != 2 {
		t.Errorf("one /48 is counted as %d payers, want 2: itself and one more", got)
	}
}

func TestDefaultsAreAsDocumented(t *testing.T) {
	c := Config{IPv4: Share{Min: -1}}.withDefaults()
	want := Config{
		IPv4:    Share{Free: 0.25},
		Host:    Share{Free: 0.0625},
		Site:    Share{Free: 0.125},
		Network: Share{Free: 0.25},
		Named:   Share{Free: 0.25},
		Payers:  65_536,
	}
	if c != want {
		t.Errorf("defaults %+v, want %+v", c, want)
	}
}

func TestOthersTogetherHaveAShare(t *testing.T) {
	p := NewPool(Config{Size: 10_000, Payers: 1})
	if _, err := p.Acquire(addr("192.0.2.1"), 1); err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		p.Acquire(addr("198.51.%d.%d", i/250, i%250), 1)
	}

	if got := p.ledger.others.held; got != 1715 {
		t.Errorf("payers without a place got %v together, want the share of one", got)
	}
	if _, err := p.Acquire(addr("192.0.2.1"), 1); err != nil {
		t.Errorf("a payer with a place: %v", err)
	}
}

func TestPoolIsSafeForConcurrentUse(t *testing.T) {
	const size = 1000
	p := NewPool(Config{Size: size, Payers: 32})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				lease, err := p.Acquire(addr("2001:db8:%x:%x::1", i/2, j), int64(j%7))
				if err != nil {
					continue
				}
				lease.Grow(int64(j % 5))
				if used := p.Used(); used < 0 || used > size {
					t.Errorf("%d of %d used", used, size)
				}

				lease.Shrink(1)
				lease.Release()
			}
		})
	}

	all.Wait()

	if p.Used() != 0 || p.Payers() != 0 {
		t.Errorf("%d used, %d payers known", p.Used(), p.Payers())
	}
}

func BenchmarkAcquire(b *testing.B) {
	p := NewPool(Config{Size: 1 << 40})
	who := addr("2001:db8::1")
	b.ReportAllocs()
	for b.Loop() {
		lease, err := p.Acquire(who, 1)
		if err != nil {
			b.Fatal(err)
		}
		lease.Release()
	}
}
