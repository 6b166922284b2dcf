package turn

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/turn/xdp"
)

// TestKernelRoutesAreThoseOfTheWorkers: in whatever order allocations and channels come and go, the kernel has a route
// exactly while the workers would let the packet pass. When all have ended, nothing is left.
func TestKernelRoutesAreThoseOfTheWorkers(t *testing.T) {
	var n counters
	r := newRelay(Config{Limits: Limits{
		AllocationRate: 1,
		PayerRate:      1,
		ClientRate:     1,
		ServerRate:     1,
	}}.withDefaults(), &n)

	f := newForwarders()
	r.kernel = newKernel(f, netip.MustParseAddr("192.0.2.254"), r.limits, Config{}.withDefaults().Logger)
	at := outside
	open := func(i int, end role) *allocation { return openOutside(t, r, i, end, 1) }
	cam, one, two := open(1, camera), open(2, viewer), open(3, viewer)
	want := func(when string, ways ...[2]int) {
		t.Helper()
		if len(f.routes) != len(ways) {
			t.Errorf("%s: %d routes, want %d", when, len(f.routes), len(ways))
		}
		for _, w := range ways {
			found := false
			for c, to := range f.routes {
				found = found || c.Client == at(w[0]) && to.To.Client == at(w[1]) && len(to.Buckets) == 3
			}
			if !found {
				t.Errorf("%s: no route from %d to %d", when, w[0], w[1])
			}
		}
	}

	cam.addChannel(one.host, 0x4001)
	want("one end's channel")
	one.setPermission(cam.host, true)
	want("the other's permission")
	one.addChannel(cam.host, 0x4101)
	want("both ends' channels", [2]int{1, 2}, [2]int{2, 1})
	cam.addChannel(two.host, 0x4002)
	two.addChannel(cam.host, 0x4102)
	want("two viewers", [2]int{1, 2}, [2]int{2, 1}, [2]int{1, 3}, [2]int{3, 1})
	one.removeChannel(0x4101)
	want("a channel's end", [2]int{1, 3}, [2]int{3, 1})
	one.addChannel(cam.host, 0x4103)
	want("a new one", [2]int{1, 2}, [2]int{2, 1}, [2]int{1, 3}, [2]int{3, 1})
	two.Close()
	want("a viewer's end", [2]int{1, 2}, [2]int{2, 1})
	f.full = true
	three := open(4, viewer)
	cam.addChannel(three.host, 0x4004)
	three.addChannel(cam.host, 0x4104)
	want("no room for a third", [2]int{1, 2}, [2]int{2, 1})
	f.full = false
	cam.Close()
	want("the camera's end")
	one.Close()
	three.Close()
	r.start = r.start.Add(-2 * time.Second)
	openOutside(t, r, 5, camera, 1).Close()
	r.kernel.sweep(time.Since(r.start))

	// the server's limit stays
	if len(f.clients) != 0 || len(f.buckets) != 1 || len(r.kernel.buckets) != 1 || len(r.kernel.unused) != 0 {
		t.Errorf("left behind: %v, %v, %v, %v", f.clients, f.buckets, r.kernel.buckets, r.kernel.unused)
	}
}

// outside returns a client's address that the limits of addresses apply to.
func outside(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 9)
}

// openOutside makes an allocation there for one end of session 1.
func openOutside(t *testing.T, r *relay, i int, end role, payer byte) *allocation {
	t.Helper()
	a, err := r.newAllocation()
	if err != nil {
		t.Fatal(err)
	}
	u := username{role: end, session: sessionID{1}, payer: payerID{payer}}
	if err := r.bind(a, binding{to: outside(i), user: u}); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestKernelLimitsSurviveAllocations: a payer or an address that ends all its allocations and makes others finds its
// token bucket in the kernel as it left it. It gets a new one only when the old one would be full anyhow.
func TestKernelLimitsSurviveAllocations(t *testing.T) {
	for name, row := range map[string]struct {
		limits Limits
		payer  byte
	}{"payer": {Limits{PayerRate: 1000}, 1}, "address": {Limits{ClientRate: 1000}, 0},
		"server": {Limits{ServerRate: 1000}, 1}} {
		t.Run(name, func(t *testing.T) {
			var n counters
			r := newRelay(Config{Limits: row.limits}.withDefaults(), &n)
			f := newForwarders()
			r.kernel = newKernel(f, netip.MustParseAddr("192.0.2.254"), r.limits, Config{}.withDefaults().Logger)
			limit := func() xdp.TokenBucket {
				t.Helper()
				cam, view := openOutside(t, r, 1, camera, row.payer), openOutside(t, r, 2, viewer, row.payer)
				cam.addChannel(view.host, 0x4000)
				view.addChannel(cam.host, 0x4000)
				route, ok := f.routes[xdp.Channel{Client: outside(1), Number: 0x4000}]
				if !ok || len(route.Buckets) != 1 {
					t.Fatalf("%+v", f.routes)
				}

				view.Close()
				cam.Close()
				return route.Buckets[0]
			}

			r.start = time.Now().Add(-time.Hour)
			first, again := limit(), limit()
			if first != again {
				t.Errorf("limit %d became %d, which is full", first, again)
			}

			r.start = r.start.Add(-2 * time.Second)
			later := limit()
			if fresh := later != first; fresh != (name != "server") {
				t.Errorf("limit %d, two seconds later %d", first, later)
			}

			if !r.bucket.isFull(time.Since(r.start)) {
				t.Error("the server's own bucket was drained")
			}
			if len(f.buckets) > 2 {
				t.Errorf("%d limits are kept", len(f.buckets))
			}
		})
	}
}

// TestKernelFailsClosed: a route that cannot be deleted at once is deleted on a later try. If it cannot be deleted at
// all, XDP is detached, which is logged, and the workers go on.
func TestKernelFailsClosed(t *testing.T) {
	for name, row := range map[string]struct {
		stuck  int
		closed bool
	}{"busy": {maxDeletes - 1, false}, "broken": {1 << 30, true}} {
		t.Run(name, func(t *testing.T) {
			var n counters
			var said strings.Builder
			r := newRelay(Config{Limits: Limits{AllocationRate: 1000}}.withDefaults(), &n)
			f := newForwarders()
			r.kernel = newKernel(f, netip.MustParseAddr("192.0.2.254"), r.limits,
				slog.New(slog.NewTextHandler(&said, nil)))
			cam, view := openOutside(t, r, 1, camera, 1), openOutside(t, r, 2, viewer, 1)
			cam.addChannel(view.host, 0x4000)
			view.addChannel(cam.host, 0x4000)
			if len(f.routes) != 2 {
				t.Fatalf("%+v", f.routes)
			}

			f.stuck = row.stuck
			cam.removeChannel(0x4000)
			if f.closed != row.closed || !f.closed && len(f.routes) != 0 {
				t.Errorf("closed: %v, routes: %+v", f.closed, f.routes)
			}

			if told := strings.Contains(said.String(), "goes on without XDP"); told != row.closed {
				t.Errorf("said %q", said.String())
			}
			cam.addChannel(view.host, 0x4001)
			out := kept{}
			if !r.forward(cam, []byte{0x40, 1, 0, 2, 'h', 'i'}, &out) || len(out.packets) != 1 {
				t.Errorf("%+v", out.packets)
			}

			view.Close()
			cam.Close()
			if got := r.kernelCounts(); got.Packets != 7 {
				t.Errorf("%+v", got)
			}

			if err := r.closeKernel(); err != nil || !f.closed {
				t.Errorf("%v, closed: %v", err, f.closed)
			}
		})
	}
}

// TestDrainDetachesXDP: a server that drains leaves the interface to the next one, and its workers relay what is left.
func TestDrainDetachesXDP(t *testing.T) {
	s := serve(t, Config{})
	f := newForwarders()
	s.relay.mu.Lock()
	s.relay.kernel = newKernel(f, netip.Addr{}, s.relay.limits, s.config.Logger)
	s.relay.mu.Unlock()
	cam, view := pair(t, s, "udp", "udp")
	bindBoth(cam, 0x4000, view, 0x4000)

	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Drain(stopped); !errors.Is(err, context.Canceled) || !f.closed {
		t.Errorf("%v, detached: %t", err, f.closed)
	}

	cam.sendChannel(0x4000, "still here")
	if got := view.receive(); got.data != "still here" || s.Stats().Kernel != 7 {
		t.Errorf("%+v, %d by the kernel before", got, s.Stats().Kernel)
	}
}

// forwarders stands in for the kernel, with maps. It panics where the real one would forward wrongly.
type forwarders struct {
	full    bool
	last    uint32
	routes  map[xdp.Channel]xdp.Route
	clients map[xdp.Client]bool
	buckets map[xdp.TokenBucket]bool
	stuck   int // deletions that are going to fail
	closed  bool
}

func newForwarders() *forwarders {
	return &forwarders{
		routes:  make(map[xdp.Channel]xdp.Route),
		clients: make(map[xdp.Client]bool),
		buckets: make(map[xdp.TokenBucket]bool),
	}
}

func (f *forwarders) number() (uint32, error) {
	if f.closed {
		panic("it is closed")
	}
	if f.full {
		return 0, xdp.ErrFull
	}

	f.last++

	return f.last, nil
}

func (f *forwarders) AddClient() (xdp.Client, error) {
	n, err := f.number()
	if err == nil {
		f.clients[xdp.Client(n)] = true
	}
	return xdp.Client(n), err
}

func (f *forwarders) RemoveClient(c xdp.Client) error {
	for _, r := range f.routes {
		if r.Sender == c || r.Receiver == c {
			panic("a client is removed that a route names")
		}
	}
	delete(f.clients, c)
	return nil
}

func (f *forwarders) AddTokenBucket(int64) (xdp.TokenBucket, error) {
	n, err := f.number()
	if err == nil {
		f.buckets[xdp.TokenBucket(n)] = true
	}
	return xdp.TokenBucket(n), err
}

func (f *forwarders) RemoveTokenBucket(p xdp.TokenBucket) { delete(f.buckets, p) }

func (f *forwarders) SetRoute(c xdp.Channel, r xdp.Route) error {
	if !f.clients[r.Sender] || !f.clients[r.Receiver] {
		panic("a route names a client that is not there")
	}
	for _, p := range r.Buckets {
		if !f.buckets[p] {
			panic("a route names a limit that is not there")
		}
	}

	f.routes[c] = r
	return nil
}

func (f *forwarders) DeleteRoute(c xdp.Channel) error {
	if f.closed {
		panic("it is closed")
	}
	if f.stuck > 0 {
		f.stuck--
		return errors.New("busy")
	}

	delete(f.routes, c)

	return nil
}

func (f *forwarders) Counts() (xdp.Counts, error) {
	if f.closed {
		panic("it is closed")
	}
	return xdp.Counts{Packets: 7}, nil
}

func (f *forwarders) Close() error { f.closed = true; return nil }
