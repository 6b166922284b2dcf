//go:build linux

package natlab

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/tcptest"
)

// hears reports whether the reflector sees the host at all.
func hears(t *testing.T, r *reflector, h *Host) bool {
	t.Helper()
	return newSocket(t, h, "udp4").ask(t, r, [2]int{0, 0}, [2]int{0, 0}).ended
}

// After a rebinding the old mapping is dead, the new one has another port, and the router behaves as before.
func TestRebindingKillsTheOldMapping(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r := newReflector(t, lab, "udp4")
	for _, kind := range Kinds() {
		if !kind.UDP || kind.Behaviour.Mapping == "" || kind.open {
			continue
		}
		t.Run(kind.Name, func(t *testing.T) {
			network := lab.Network(kind)
			h := network.Host("host")
			s := newSocket(t, h, "udp4")
			for range 3 {
				before := s.mapped(t, r, 0, 0)
				if !r.call(t, before, s) {
					t.Fatal("the mapping is dead before its time")
				}
				network.Rebind()
				if kind.Behaviour.Translates && r.call(t, before, s) {
					t.Error("the old mapping lives on")
				}

				if after := s.mapped(t, r, 0, 0); (after != before) != kind.Behaviour.Translates {
					t.Errorf("mapped to %s, and after the rebinding to %s", before, after)
				}
			}

			if mapping, _, _ := r.mapping(t, h, "udp4"); mapping != kind.Behaviour.Mapping {
				t.Errorf("mapping became %s", mapping)
			}
			if filtering := r.filtering(t, h, "udp4"); filtering != kind.Behaviour.Filtering {
				t.Errorf("filtering became %s", filtering)
			}
		})
	}
}

// A firewall that lost its state keeps an answer out until the host sends again.
func TestFirewallForgets(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r := newReflector(t, lab, "udp4")
	h := lab.Behind("host", Firewall)
	s := newSocket(t, h, "udp4")
	at := s.mapped(t, r, 0, 0)
	h.Network().Rebind()
	if r.call(t, at, s) {
		t.Error("a firewall without state let a packet in")
	}

	s.mapped(t, r, 0, 0)
	if !r.call(t, at, s) {
		t.Error("the firewall did not learn again")
	}
}

// While a router reboots its hosts' cables are dead. Afterwards everything works, except for the old mappings.
func TestRebootLosesTheMappings(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r := newReflector(t, lab, "udp4")
	for _, kind := range []Kind{PortRestricted, SymmetricRandom, CarrierGrade, Open} {
		t.Run(kind.Name, func(t *testing.T) {
			network := lab.Network(kind)
			h := network.Host("host")
			s := newSocket(t, h, "udp4")
			mapped := s.mapped(t, r, 0, 0)
			rebooted := make(chan bool)
			go func() {
				defer close(rebooted)
				network.Reboot(3 * time.Second)
			}()

			eventually(t, "the host's cable is dead", func() bool {
				out, err := h.ns.run("", "ip", "link", "show", "eth0")
				return err == nil && strings.Contains(out, "NO-CARRIER")
			})
			<-rebooted
			if alive := r.call(t, mapped, s); alive != kind.open {
				t.Errorf("the mapping of before the reboot is alive: %v", alive)
			}

			if !hears(t, r, h) {
				t.Error("nothing works after the reboot")
			}
		})
	}
}

// A host that moves has another address, device and network, and nothing of the old ones.
func TestHostThatMovesKeepsNothingOld(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r, r6 := newReflector(t, lab, "udp4"), newReflector(t, lab, "udp6")
	h := lab.Behind("phone", PortRestricted)
	seen := map[netip.Addr]bool{}
	for i, kind := range []Kind{PortRestricted, CarrierGrade, Open, IPv6Only, SymmetricRandom} {
		old := h.IPv4()
		if i > 0 {
			h.Move(lab.Network(kind))
		}
		if _, err := lab.internet.run("", "ip", "route", "get", old.String()); err == nil && old != h.IPv4() {
			t.Errorf("%s: the internet still routes %s", kind.Name, old)
		}

		if kind.IPv4 {
			mapped := newSocket(t, h, "udp4").mapped(t, r, 0, 0)
			if seen[mapped.Addr()] {
				t.Errorf("%s: seen at %s again", kind.Name, mapped.Addr())
			}
			seen[mapped.Addr()] = true
		}

		if kind.IPv6 {
			newSocket(t, h, "udp6").mapped(t, r6, 0, 0)
		}
		out, err := h.ns.run("", "ip", "-o", "address", "show", "scope", "global")
		if want := map[bool]int{true: 2, false: 1}[kind.IPv4 && kind.IPv6]; err != nil ||
			strings.Count(out, "\n") != want || strings.Count(out, ": "+h.device+" ") != want {
			t.Errorf("%s: %d addresses wanted, on %s: %v\n%s", kind.Name, want, h.device, err, out)
		}
	}

	if out, err := h.ns.run("", "getent", "ahosts", "phone.lab"); err == nil {
		t.Errorf("others would look for a host that is not public any more: %s", out)
	}
}

// A program finds a public host by its name; without IPv4, by an address that leads there.
func TestPublicHostIsFoundByItsName(t *testing.T) {
	t.Parallel()
	lab := New(t)
	readers := map[string]*Host{"dual stack": lab.Behind("dual", DualStack), "NAT64": lab.Behind("phone", NAT64)}
	both, old := lab.Public("both"), lab.Behind("old", Open.WithoutIPv6())
	serve(t, old, netip.AddrPortFrom(old.IPv4(), 443))
	for _, tt := range []struct {
		reader string
		asked  *Host
		want   []netip.Addr
	}{
		{"dual stack", both, []netip.Addr{both.IPv4(), both.IPv6()}},
		{"dual stack", old, []netip.Addr{old.IPv4()}},
		{"NAT64", both, []netip.Addr{both.IPv6()}}, // getent omits families that the host does not have
		{"NAT64", old, []netip.Addr{netip.MustParseAddr("64:ff9b::" + old.IPv4().String())}},
		{"NAT64", readers["dual stack"], nil},
	} {
		out, _ := readers[tt.reader].ns.run("", "getent", "ahosts", tt.asked.Name+".lab")
		got := map[netip.Addr]bool{}
		for line := range strings.Lines(out) {
			got[netip.MustParseAddr(strings.Fields(line)[0]).Unmap()] = true
		}

		if len(got) != len(tt.want) || slices.ContainsFunc(tt.want, func(a netip.Addr) bool { return !got[a] }) {
			t.Errorf("%s: %s.lab is %v, want %v", tt.reader, tt.asked.Name, got, tt.want)
		}
	}

	to := netip.AddrPortFrom(readers["NAT64"].Network().Reach(old.IPv4()), 443)
	if greeting, err := greet(readers["NAT64"], to, 10*time.Second); err != nil || greeting == "" {
		t.Errorf("%s: %q, %v", to, greeting, err)
	}
}

// A large transfer over TCP arrives whole through every router, over a line that loses packets.
func TestTransferArrivesWholeThroughEveryRouter(t *testing.T) {
	t.Parallel()
	lab := New(t)
	server := lab.Public("server")
	l, err := server.Listen("tcp4", netip.AddrPortFrom(server.IPv4(), 443).String())
	if err != nil {
		t.Fatal(err)
	}

	data := make([]byte, 3<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	tcptest.Serve(t, l, func(c net.Conn) { _, _ = c.Write(data) })

	for _, kind := range Kinds() {
		if !kind.IPv4 && !kind.NAT64 {
			continue
		}
		t.Run(kind.Name, func(t *testing.T) {
			h := lab.Behind("host", kind)
			bad := Quality{Loss: 0.005, Delay: time.Millisecond}
			h.Network().Impair(bad, bad)
			c, err := h.Dial(net.Dialer{Timeout: 20 * time.Second}, "tcp",
				netip.AddrPortFrom(h.Network().Reach(server.IPv4()), 443).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}

			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d of %d bytes: %v", len(got), len(data), err)
			}
		})
	}
}

// The next host that comes into a network does not change the router's address there, so the others' connections go on.
func TestRouterKeepsItsAddressInside(t *testing.T) {
	t.Parallel()
	network := New(t).Network(PortRestricted)
	for range 4 {
		network.Host("host")
		said, err := network.router.run("", "ip", "-br", "link", "show", "lan")
		if err != nil || !strings.Contains(said, lanMAC) {
			t.Errorf("the router's address is not %s: %v\n%s", lanMAC, err, said)
		}
	}
}
