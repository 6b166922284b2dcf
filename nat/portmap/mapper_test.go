package portmap

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/noleak"
)

var (
	home   = route{gateway: netip.MustParseAddr("192.168.1.1"), local: netip.MustParseAddr("192.168.1.2")}
	inside = netip.MustParseAddrPort("192.168.1.2:50000")
	world  = netip.MustParseAddrPort("203.0.113.7:50000")
)

// router speaks one protocol and does as the test says.
type router struct {
	mu       sync.Mutex
	outside  netip.AddrPort // zero: it grants nothing
	life     time.Duration
	grants   []time.Time
	released []netip.AddrPort
	opened   int
	slow     time.Duration
}

func (r *router) grant(ctx context.Context, _ *mapping) (lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-time.After(r.slow):
	case <-ctx.Done():
		return lease{}, ctx.Err()
	}

	if !r.outside.IsValid() {
		return lease{}, errCode
	}
	r.grants = append(r.grants, time.Now())
	return lease{r.outside, r.life}, nil
}

func (r *router) release(_ context.Context, m *mapping) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.released = append(r.released, m.outside)
	return nil
}

func (r *router) set(outside netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outside = outside
}

func (r *router) speaks(name string) named {
	return named{name, time.Second, func(context.Context, route) (protocol, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.opened++
		return r, nil
	}}
}

func newMapper(protocols ...named) *Mapper {
	m := New(slog.New(slog.DiscardHandler))
	m.route, m.protocols = func() (route, error) { return home, nil }, protocols
	return m
}

// told collects the addresses that Map reports.
type told struct {
	mu  sync.Mutex
	all []netip.AddrPort
}

func (t *told) found(a netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, a)
}

func (t *told) are(want ...netip.AddrPort) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Equal(t.all, want)
}

// TestMappingIsRenewedAndReleased: a mapping is renewed after half of its lifetime, reported once, reported again if
// its address changes, and released when it is no longer wanted.
func TestMappingIsRenewedAndReleased(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		deaf, r := new(router), &router{outside: world, life: lifetime}
		m := newMapper(deaf.speaks("deaf"), r.speaks("ours"))
		ctx, cancel := context.WithCancel(t.Context())
		var told told
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- m.Map(ctx, inside, told.found) }()
		time.Sleep(16 * time.Minute) // the bubble's clock
		synctest.Wait()
		if !told.are(world) || len(r.grants) != 4 {
			t.Fatalf("told %v, granted %v", told.all, r.grants)
		}

		for i, at := range r.grants {
			if want := time.Duration(i) * lifetime / 2; at.Sub(began) != want {
				t.Errorf("grant %d after %v, want %v", i, at.Sub(began), want)
			}
		}

		moved := netip.MustParseAddrPort("203.0.113.8:50001")
		r.set(moved)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if !told.are(world, moved) {
			t.Errorf("reported %v, want the new address too", told.all)
		}

		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if !slices.Equal(r.released, []netip.AddrPort{moved}) || m.open != 0 {
			t.Errorf("released: %v, %d are open", r.released, m.open)
		}

		if deaf.opened != 1 || len(deaf.released) != 0 {
			t.Errorf("the protocol that the router does not speak was tried %d times", deaf.opened)
		}
	})
}

// TestManyMappingsAskTheRouterOnce: what the first mapping learns about the router serves the others, which wait for
// it.
func TestManyMappingsAskTheRouterOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := &router{outside: world, life: lifetime, slow: 100 * time.Millisecond}
		m := newMapper(r.speaks("ours"))
		ctx, cancel := context.WithCancel(t.Context())
		var told told
		var work sync.WaitGroup
		for range 5 {
			work.Go(func() {
				if err := m.Map(ctx, inside, told.found); err != nil {
					t.Error(err)
				}
			})
		}

		time.Sleep(time.Second)
		synctest.Wait()
		if !told.are(world, world, world, world, world) || r.opened != 1 {
			t.Errorf("reported %v, the router was found %d times", told.all, r.opened)
		}

		cancel()
		work.Wait()
		if len(r.released) != 5 {
			t.Errorf("%d released", len(r.released))
		}
	})
}

// TestRefusalIsRemembered: a router that opens no port is not asked again for a while, and nobody waits for it longer
// than the limits allow.
func TestRefusalIsRemembered(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		silent := &router{slow: time.Hour}
		m := newMapper(silent.speaks("one"), silent.speaks("two"))
		began := time.Now()
		if err := m.Map(t.Context(), inside, nil); !errors.Is(err, ErrRefused) || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}

		err := m.Map(t.Context(), inside, nil)
		if !errors.Is(err, ErrRefused) || time.Since(began) != 2*time.Second || silent.opened != 2 {
			t.Errorf("again: %v after %v", err, time.Since(began))
		}
		time.Sleep(forgetAfter)
		if err := m.Map(t.Context(), inside, nil); !errors.Is(err, ErrRefused) || silent.opened != 4 {
			t.Errorf("later: %v, asked %d times", err, silent.opened)
		}
	})
}

// TestBehindAnotherRouter: an address that the world cannot reach is not reported, and the port is not left open.
func TestBehindAnotherRouter(t *testing.T) {
	for _, address := range []string{"100.64.0.2", "100.127.255.254", "192.168.0.3", "10.1.2.3", "172.31.0.1",
		"127.0.0.1", "169.254.1.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "2001:db8::1"} {
		bubble.Test(t, func(t *testing.T) {
			r := &router{outside: netip.AddrPortFrom(netip.MustParseAddr(address), 50000), life: lifetime}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := newMapper(r.speaks("ours")).Map(ctx, inside, func(a netip.AddrPort) { t.Errorf("told of %v", a) })
			if !errors.Is(err, ErrInside) || len(r.released) != 1 {
				t.Errorf("%s: %v, released %v", address, err, r.released)
			}
		})
	}
}

// TestRestartedRouterIsFoundAgain: a router that restarts is found again; one that does not come back ends the mapping.
func TestRestartedRouterIsFoundAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := &router{outside: world, life: lifetime}
		m := newMapper(r.speaks("ours"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var told told
		ended := make(chan error, 1)
		go func() { ended <- m.Map(ctx, inside, told.found) }()
		time.Sleep(time.Minute)
		r.set(netip.AddrPort{})
		time.Sleep(6 * time.Minute) // over the first renewal, within the lease
		r.set(world)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !told.are(world) || len(r.grants) != 2 || len(ended) > 0 {
			t.Fatalf("told %v, granted %v", told.all, r.grants)
		}

		r.set(netip.AddrPort{})
		if err := <-ended; !errors.Is(err, ErrRefused) {
			t.Errorf("ended with %v", err)
		}
	})
}

// TestWhatIsNotMapped: ports beyond maxMappings, ports of a host without a router, and ports of an address that is not
// in the router's network.
func TestWhatIsNotMapped(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := &router{outside: world, life: lifetime}
		m := newMapper(r.speaks("ours"))
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for range maxMappings {
			work.Go(func() { _ = m.Map(ctx, inside, func(netip.AddrPort) {}) })
		}

		synctest.Wait()
		if err := m.Map(t.Context(), inside, nil); !errors.Is(err, ErrBusy) {
			t.Errorf("one more: %v", err)
		}
		if err := m.Map(t.Context(), netip.MustParseAddrPort("10.0.0.2:50000"), nil); !errors.Is(err, ErrNoRouter) {
			t.Errorf("another network's address: %v", err)
		}

		cancel()
		work.Wait()
		m.route = func() (route, error) { return route{}, ErrNoRouter }
		if err := m.Map(t.Context(), inside, nil); !errors.Is(err, ErrNoRouter) {
			t.Errorf("no router: %v", err)
		}
	})
}

// TestGivenUpRequestIsReleased: giving up while the router takes its time releases what it may have granted.
func TestGivenUpRequestIsReleased(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := &router{outside: world, life: lifetime, slow: 500 * time.Millisecond}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := newMapper(r.speaks("ours")).Map(ctx, inside, nil); err != nil || len(r.released) != 1 {
			t.Errorf("%v, taken back %v", err, r.released)
		}
	})
}

func TestMain(m *testing.M) {
	if inLab() {
		return
	}
	noleak.Main(m)
}
