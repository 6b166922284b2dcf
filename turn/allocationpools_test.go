package turn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/netlimit"
)

// fairly returns limits that share size allocations among addresses, and as many among payers.
func fairly(size int64) Limits {
	share := func(free float64) netlimit.Share { return netlimit.Share{Free: free, Min: 4} }
	return Limits{
		Addresses: netlimit.Config{
			Size:    size,
			IPv4:    share(1),
			Host:    share(1. / 4),
			Site:    share(1. / 2),
			Network: share(1),
		},
		Payers: netlimit.Config{Size: size, Named: share(1. / 4)},
	}
}

// greed allocates from each of many addresses in turn until all are refused, and returns how many allocations it got.
func greed(t *testing.T, r *relay, payer byte, address func(i int) string) (has int) {
	t.Helper()
	for session := 0; ; session++ {
		got := 0
		for i := range 256 {
			id := sessionID{1, byte(session), byte(session >> 8), byte(i), payer}
			u := username{session: id, payer: payerID{payer}}
			client := netip.MustParseAddr(address(i))
			lease, err := r.pools.lease(u, nil, client)
			if err != nil {
				continue
			}

			a, err := r.newAllocation()
			if err != nil {
				t.Fatal(err)
			}
			at := netip.AddrPortFrom(client, uint16(a.host))
			if err := r.bind(a, binding{to: at, user: u, lease: lease}); err != nil {
				t.Fatal(err)
			}
			got++
		}

		if has += got; got == 0 {
			return has
		}
	}
}

func TestOneNetworkLeavesAllocationsToOthers(t *testing.T) {
	const size = 8192
	for name, address := range map[string]func(int) string{
		"one address":              func(int) string { return "192.0.2.1" },
		"sixteen /64s":             func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%16) },
		"a /48":                    func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i<<8) },
		"one /64, every other bit": func(i int) string { return fmt.Sprintf("2001:db8::%x", 1<<(i%16)) },
	} {
		t.Run(name, func(t *testing.T) {
			var n counters
			r := newRelay(Config{MaxAllocations: 2 * size, Limits: fairly(size)}.withDefaults(), &n)
			lives, err := openAt(t, r, 1, 0, "198.51.100.7") // was there before
			if err != nil {
				t.Fatal(err)
			}

			ticket, err := openAt(t, r, 2, 1, "192.0.2.1")
			if err != nil {
				t.Fatal(err)
			}

			has := greed(t, r, 0, address)
			if has < size/32 || has > size/2 {
				t.Errorf("one network got %d of %d", has, size)
			}
			if _, err := openAt(t, r, 3, 0, address(1)); !errors.Is(err, errQuota) {
				t.Errorf("one more: %v", err)
			}

			for i := range byte(100) { // a hundred other households, each with both ends of a session
				for _, format := range []string{"198.51.100.%d", "2001:db8:1%02x::1"} {
					client := fmt.Sprintf(format, i)
					if _, err := openAt(t, r, 10+i, 0, client); err != nil {
						t.Errorf("allocate at %s: %v", client, err)
					}
				}
			}

			for i := range byte(10) {
				if _, err := openAt(t, r, 200+i, 2, "192.0.2.1"); err != nil {
					t.Errorf("allocate for a ticket at its address: %v", err)
				}
			}

			if lives.bound.Load() == nil || ticket.bound.Load() == nil {
				t.Error("a living allocation was taken away")
			}
		})
	}
}

// TestCarriersHouseholdsLiveBesideGreed: a thousand households behind a carrier's address can allocate, while another
// network takes all that it can.
func TestCarriersHouseholdsLiveBesideGreed(t *testing.T) {
	const size = 57344 // of 65,536 allocations, those of addresses
	var n counters
	r := newRelay(Config{MaxAllocations: size, Limits: fairly(size)}.withDefaults(), &n)
	greed(t, r, 0, func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i<<8) })
	for household := range 1000 {
		for end := range 8 { // for a session's two ends, over UDP and TCP, with some to spare
			u := username{session: sessionID{9, byte(household), byte(household >> 8)}, role: role(end % 2)}
			if _, err := r.pools.lease(u, nil, netip.MustParseAddr("100.64.0.1")); err != nil {
				t.Fatalf("household %d, allocation %d: %v", household, end, err)
			}
		}
	}
}

// guestConn is a connection whose listener reserves places.
type guestConn struct {
	net.Conn
	mu    sync.Mutex
	full  bool
	calls []string
}

func (g *guestConn) Admit(who netlimit.Payer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full {
		return netlimit.ErrShare
	}
	kind := "address"
	if who.IsNamed() {
		kind = "payer"
	}

	g.calls = append(g.calls, kind)
	return nil
}

func (g *guestConn) Dismiss() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, "gone")
}

func (g *guestConn) said() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprint(g.calls)
}

// guestListener accepts connections as guests.
type guestListener struct {
	net.Listener
	guests chan *guestConn
	full   bool
}

func (l *guestListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guestConn{Conn: c, full: l.full}
	l.guests <- g
	return g, nil
}

func TestConnectionHasItsPlaceWhileItHasAnAllocation(t *testing.T) {
	for _, tt := range []struct {
		payer, admitted string
		full            bool
	}{{"", "[address", false}, {"ticket 1", "[payer", false}, {"", "[", true}} {
		l := &guestListener{
			Listener: listenStreams(t, "127.0.0.1:0")[0],
			guests:   make(chan *guestConn, 1),
			full:     tt.full,
		}

		s := serve(t, Config{Streams: []net.Listener{l}, Limits: fairly(1000)})
		g, err := s.config.Keys.Grant(tt.payer, s.config.Now(), MaxTTL)
		if err != nil {
			t.Fatal(err)
		}
		c := dial(t, s, "tcp", g.Camera)
		guest := <-l.guests
		code := c.allocate()
		if (code == 486) != tt.full || guest.said() != tt.admitted+"]" {
			t.Errorf("allocate: %d, the listener saw %s", code, guest.said())
		}

		if used := s.relay.pools.addresses.Used() + s.relay.pools.payers.Used(); (used == 0) != tt.full {
			t.Errorf("%d places taken by an allocation with code %d", used, code)
		}
		if tt.full {
			continue
		}
		if code := c.refresh(0); code != 0 {
			t.Fatal(code)
		}

		await(t, func() bool { return guest.said() == tt.admitted+" gone]" })
		if used := s.relay.pools.addresses.Used() + s.relay.pools.payers.Used(); used != 0 {
			t.Errorf("%d places are still taken", used)
		}
	}
}
