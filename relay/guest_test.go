package relay

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/test/bubble"
)

// taken returns how many places of each kind are in use.
func (p *places) taken() string {
	strangers, addresses, tickets := p.strangers.Used(), p.addresses.Used(), p.tickets.Used()
	return fmt.Sprintf("strangers %d, addresses %d, tickets %d", strangers, addresses, tickets)
}

// pipeGuest returns a guest from an address, and the other end of its connection.
func pipeGuest(t *testing.T, p *places, address string) (*guest, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	g, err := newGuest(from{far, address}, p, p.strangers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g, near
}

func TestGuestHasOnePlaceWhereverItGoes(t *testing.T) {
	p := newPlaces(1<<16, &Config{})
	g, _ := pipeGuest(t, p, "192.0.2.1:1000")
	rename := func(to string) func() error {
		return func() error { return g.rename(netip.MustParseAddrPort(to)) }
	}
	address, ticket := netlimit.PayerOf(netip.MustParseAddr("192.0.2.1")), netlimit.Named([16]byte{1})
	for _, step := range []struct {
		what string
		do   func() error
		want string
	}{
		{"it comes", func() error { return nil }, "strangers 1, addresses 0, tickets 0"},
		{"its address pays", func() error { return g.Admit(address) }, "strangers 0, addresses 1, tickets 0"},
		{"a ticket pays", func() error { return g.Admit(ticket) }, "strangers 0, addresses 0, tickets 1"},
		{"another name for it", rename("192.0.2.2:1"), "strangers 0, addresses 0, tickets 1"},
		{"nobody pays", func() error { g.Dismiss(); g.Dismiss(); return nil }, "strangers 1, addresses 0, tickets 0"},
		{"another name", rename("192.0.2.3:1"), "strangers 1, addresses 0, tickets 0"},
		{"it goes", func() error { g.Close(); g.Close(); return nil }, "strangers 0, addresses 0, tickets 0"},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
		if got := p.taken(); got != step.want {
			t.Errorf("%s: %s, want %s", step.what, got, step.want)
		}
	}

	if err := g.Admit(address); !errors.Is(err, net.ErrClosed) {
		t.Errorf("admitted after its end: %v", err)
	}
	if got := g.RemoteAddr().String(); got != "192.0.2.3:1" {
		t.Errorf("the guest's address is %s", got)
	}
}

func TestGuestWithoutABetterPlaceKeepsItsOwn(t *testing.T) {
	p := newPlaces(1<<16, &Config{})
	p.addresses = netlimit.NewPool(netlimit.Config{})
	g, _ := pipeGuest(t, p, "192.0.2.1:1000")
	if err := g.Admit(netlimit.PayerOf(netip.MustParseAddr("192.0.2.1"))); !errors.Is(err, netlimit.ErrFull) {
		t.Errorf("admitted: %v", err)
	}

	if got := p.taken(); got != "strangers 1, addresses 0, tickets 0" {
		t.Error(got)
	}
}

// crowd takes more than half of a lobby until leave is called. Only a proxy, which stands for many, may take that much.
func (l *lobby) crowd(t *testing.T) (leave func()) {
	t.Helper()
	all, err := l.Acquire(proxyPayer, l.size/2+1)
	if err != nil {
		t.Fatal(err)
	}
	return all.Release
}

// A stranger's connection is closed after strangerLife, but only if others need the place. An admitted client stays.
func TestStrangerIsClosedAfterItsLifeInACrowd(t *testing.T) {
	for name, tt := range map[string]struct{ admitted, crowded bool }{
		"stranger in a crowd": {false, true},
		"admitted in a crowd": {true, true},
		"stranger alone":      {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := newPlaces(1<<16, &Config{})
				g, near := pipeGuest(t, p, "192.0.2.1:1000")
				if tt.admitted {
					if err := g.Admit(netlimit.Named([16]byte{1})); err != nil {
						t.Fatal(err)
					}
				}

				if tt.crowded {
					defer p.strangers.crowd(t)()
				}
				began := time.Now()
				near.SetReadDeadline(began.Add(10*strangerLife + time.Second))
				_, err := near.Read(make([]byte, 1))
				closed := errors.Is(err, io.EOF) && time.Since(began) == strangerLife
				if want := tt.crowded && !tt.admitted; closed != want {
					t.Errorf("closed after %v: %v", time.Since(began), err)
				}

				g.Dismiss() // it waits as long again, without an allocation
				if !tt.crowded {
					defer p.strangers.crowd(t)()
				}
				time.Sleep(strangerLife + time.Second)
				if n := p.strangers.Used() - p.strangers.size/2 - 1; n != 0 || p.tickets.Used() != 0 {
					t.Error(p.taken())
				}
			})
		})
	}
}

// A stranger that is admitted just as its time runs out stays, unless its connection has already been closed.
func TestAdmissionIsInTimeUntilTheConnectionIsClosed(t *testing.T) {
	p := newPlaces(1<<16, &Config{})
	g, near := pipeGuest(t, p, "192.0.2.1:1000")
	defer p.strangers.crowd(t)()
	if err := g.Admit(netlimit.Named([16]byte{1})); err != nil {
		t.Fatal(err)
	}

	g.evict() // as if its timer had fired just before it was stopped
	go g.Write([]byte{1})
	if _, err := near.Read(make([]byte, 1)); err != nil {
		t.Errorf("an admitted client was closed: %v", err)
	}
	if got := p.tickets.Used(); got != 1 {
		t.Errorf("the client has %d places, want 1", got)
	}

	g.Dismiss()
	g.evict()
	if err := g.Admit(netlimit.Named([16]byte{1})); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a client was admitted although its connection is closed: %v", err)
	}
}

// However many silent connections one address, or a whole /48, opens, it gets only its share of the strangers' places.
func TestSilentFloodLeavesPlaces(t *testing.T) {
	const files = 4096
	for name, address := range map[string]func(int) string{
		"one address": func(int) string { return "192.0.2.1:1000" },
		"a /48": func(i int) string {
			return fmt.Sprintf("[2001:db8:0:%x::1]:1000", i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				places := newPlaces(files, &Config{})
				d := newDoor("turn", make(pipes), places, slog.New(slog.DiscardHandler))
				d.serveTURN(nil)
				var receiving sync.WaitGroup
				defer receiving.Wait()
				connect := func(address string) *tally {
					near, far := net.Pipe()
					t.Cleanup(func() { near.Close() })
					c := &tally{Conn: from{far, address}}
					d.accept(t.Context(), c, &receiving)
					return c
				}

				var held []*tally
				for i := range 2 * files {
					held = append(held, connect(address(i)))
				}
				open := 0
				for _, c := range held {
					if !c.closed.Load() {
						open++
					}
				}

				if open == 0 || open > files/8 {
					t.Errorf("the flood holds %d of %d", open, files)
				}
				if n := d.refused[refusedShare].Load() + d.refused[refusedWork].Load(); int(n) != len(held)-open {
					t.Errorf("%d refusals are counted, want %d", n, len(held)-open)
				}

				for i := range 100 {
					for _, format := range []string{"198.51.100.%d:1000", "[2001:db8:1%02x::1]:1000"} {
						other := fmt.Sprintf(format, i)
						if connect(other).closed.Load() {
							t.Errorf("%s finds no place", other)
						}
					}
				}
			})
		})
	}
}

// tally is a connection that records whether the door has closed it.
type tally struct {
	net.Conn
	closed atomic.Bool
}

func (c *tally) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

func TestPlacesStayWithinTheOpenFiles(t *testing.T) {
	for _, key := range []ed25519.PublicKey{nil, make(ed25519.PublicKey, ed25519.PublicKeySize)} {
		for _, files := range []int{0, 100, 300, 1024, 4096, 65536, 1 << 18} {
			p := newPlaces(files, &Config{TicketKey: key})
			all := int64(0)
			for _, pool := range []*netlimit.Pool{p.strangers.Pool, p.addresses, p.tickets} {
				for i := range byte(255) { // many payers, because none may have everything
					address := netlimit.PayerOf(netip.AddrFrom4([4]byte{192, 0, 2, i}))
					for _, who := range []netlimit.Payer{address, netlimit.Named([16]byte{i})} {
						lease, err := pool.Acquire(who, 0)
						if err != nil {
							t.Fatal(err)
						}
						for n := int64(1 << 17); n > 0; n /= 2 {
							for lease.Grow(n) == nil {
							}
						}
					}
				}
				all += pool.Used()
			}

			if all > int64(files-min(ownFiles, files/4)) || files > 16 && all < int64(files/2) {
				t.Errorf("%d places with %d files", all, files)
			}
		}
	}
}
