//go:build linux

package natlab

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/tcptest"
)

// Every kind does to UDP over IPv4 what its fields say, as measured in a lab of its own.
func TestBehaviourOfKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			if !kind.IPv4 && !kind.NAT64 {
				noIPv4(t, kind)
				return
			}
			lab := New(t)
			r, network := newReflector(t, lab, "udp4"), lab.Network(kind)
			left := network.Record()
			got, out := r.behaviour(t, network.Host("host"), network.Host("neighbour"), "udp4")
			if out != kind.UDP || got != kind.Behaviour {
				t.Errorf("UDP gets out: %v, %+v; want %v, %+v", out, got, kind.UDP, kind.Behaviour)
			}

			for _, p := range left.Packets() {
				if p.Out && p.Protocol == UDP && !kind.UDP {
					t.Errorf("UDP left a network that blocks it: %s to %s", p.Src, p.Dst)
				}
				if p.Out && p.Dst.Addr() == network.Outside() {
					t.Errorf("a hairpin went by the internet: %s to %s", p.Src, p.Dst)
				}

				if p.Out && p.Src.Addr().IsPrivate() {
					t.Errorf("a private address left the network: %s to %s", p.Src, p.Dst)
				}
			}
		})
	}
}

func noIPv4(t *testing.T, kind Kind) {
	t.Helper()
	lab := New(t)
	public := lab.Public("public")
	h := lab.Behind("host", kind)
	if h.IPv4().IsValid() {
		t.Errorf("IPv4 address %s", h.IPv4())
	}

	if c, err := h.Dial(net.Dialer{Timeout: 5 * time.Second}, "udp4",
		netip.AddrPortFrom(public.IPv4(), 9).String()); err == nil {
		c.Close()
		t.Error("there is a way to IPv4")
	}
}

// Over IPv6 nothing is translated, and unsolicited packets get into open networks only.
func TestIPv6OfKinds(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r := newReflector(t, lab, "udp6")
	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			network := lab.Network(kind)
			h := network.Host("host")
			if !kind.IPv6 {
				if out, err := h.ns.run("", "ip", "-6", "-o", "address", "show", "dev", h.device); err != nil ||
					out != "" {
					t.Errorf("IPv6 addresses, %v:\n%s", err, out)
				}
				if c, err := h.Dial(net.Dialer{Timeout: 5 * time.Second}, "udp6",
					r.address(0, 0).String()); err == nil {
					c.Close()
					t.Error("there is a way to IPv6")
				}

				return
			}

			want := Behaviour{
				Mapping:   EndpointIndependent,
				Filtering: AddressAndPortDependent,
				Ports:     Preserved,
				Hairpin:   true,
			}

			if kind.open {
				want.Filtering = EndpointIndependent
			}
			if got, out := r.behaviour(t, h, network.Host("neighbour"), "udp6"); !out || got != want {
				t.Errorf("UDP gets out: %v, %+v; want %+v", out, got, want)
			}
		})
	}
}

// TCP gets out to every port, or only to 443.
func TestTCPOfKinds(t *testing.T) {
	t.Parallel()
	lab := New(t)
	public := lab.Public("public")
	for _, a := range []netip.Addr{public.IPv4(), public.IPv6()} {
		for _, port := range []uint16{443, 8443} {
			serve(t, public, netip.AddrPortFrom(a, port))
		}
	}

	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			network := lab.Network(kind)
			h, left := network.Host("host"), network.Record()
			for _, tt := range []struct {
				a    netip.Addr
				port uint16
				open bool
			}{
				{network.Reach(public.IPv4()), 443, kind.IPv4 || kind.NAT64},
				{network.Reach(public.IPv4()), 8443, kind.NAT64 || kind.IPv4 && kind.Name != Only443.Name},
				{public.IPv6(), 443, kind.IPv6},
				{public.IPv6(), 8443, kind.IPv6},
			} {
				to := netip.AddrPortFrom(tt.a, tt.port)
				patience := 10 * time.Second
				if !tt.open {
					patience = 200 * time.Millisecond // these are judged by what left the network
				}

				greeting, err := greet(h, to, patience)
				if opened := err == nil && greeting != ""; opened != tt.open {
					t.Errorf("%s: %q, %v; want it open: %v", to, greeting, err, tt.open)
				}
				for _, p := range left.Packets() {
					if p.Out && p.Dst == to && !tt.open {
						t.Errorf("a packet left for %s", to)
					}
				}
			}
		})
	}
}

// serve greets every client with the address that it called.
func serve(t *testing.T, h *Host, at netip.AddrPort) {
	t.Helper()
	l, err := h.Listen("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	tcptest.Serve(t, l, func(c net.Conn) { fmt.Fprint(c, at) })
}

func greet(h *Host, to netip.AddrPort, patience time.Duration) (string, error) {
	c, err := h.Dial(net.Dialer{Timeout: patience}, "tcp", to.String())
	if err != nil {
		return "", err
	}
	defer c.Close()

	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	return string(text), err
}

// While a host inside holds a mapping, a router answers nobody on its outside and lets nobody in: no ping, no datagram,
// no connection.
func TestUnsolicitedIsDropped(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r := newReflector(t, lab, "udp4")
	stranger := lab.Public("stranger")
	for _, kind := range Kinds() {
		if !kind.UDP || kind.Behaviour.Filtering != AddressAndPortDependent {
			continue
		}
		t.Run(kind.Name, func(t *testing.T) {
			network := lab.Network(kind)
			h := network.Host("host")
			s := newSocket(t, h, "udp4")
			mapped := s.mapped(t, r, 0, 0)
			outside, inside := network.Record(), h.Record()
			send := newSocket(t, stranger, "udp4")

			for _, a := range []netip.Addr{network.Outside(), mapped.Addr()} {
				for _, port := range []uint16{mapped.Port(), 53, 40000} {
					send.send(t, netip.AddrPortFrom(a, port), "unsolicited")
				}
				if _, err := greet(stranger, netip.AddrPortFrom(a, 443), 100*time.Millisecond); err == nil {
					t.Error("a stranger's connection got in")
				}
			}

			eventually(t, "the packets come to the router", func() bool {
				n := 0
				for _, p := range outside.Packets() {
					if p.Src.Addr() == stranger.IPv4() {
						n++
					}
				}
				return n >= 8
			})

			got := s.ask(t, r, [2]int{0, 0}, [2]int{0, 0})
			if !got.ended || got.mapped != mapped || len(got.others) > 0 {
				t.Errorf("%+v; want the mapping of before, %s, and nothing heard", got, mapped)
			}
			for _, p := range append(outside.Packets(), inside.Packets()...) {
				if p.Out && p.Dst.Addr() == stranger.IPv4() {
					t.Errorf("the stranger was answered, protocol %d from %s", p.Protocol, p.Src)
				}
			}

			for _, p := range inside.Packets() {
				if p.Src.Addr() == stranger.IPv4() {
					t.Errorf("the stranger's packet got in to %s", p.Dst)
				}
			}
		})
	}
}

// A mapping that is idle for longer than the kind's timeout is forgotten, and not before.
func TestMappingsTimeOut(t *testing.T) {
	t.Parallel()
	const timeout = 4 * time.Second
	lab := New(t)
	r := newReflector(t, lab, "udp4")
	type idle struct {
		kind         string
		young, old   *socket
		youngs, olds netip.AddrPort
		since        time.Time
	}

	var all []idle
	for _, kind := range Kinds() {
		if !kind.UDP || kind.Behaviour.Mapping == "" || kind.open {
			continue
		}
		h := lab.Behind("host", kind.Timeout(timeout))
		i := idle{kind: kind.Name, young: newSocket(t, h, "udp4"), old: newSocket(t, h, "udp4")}
		i.olds, i.youngs, i.since = i.old.mapped(t, r, 0, 0), i.young.mapped(t, r, 0, 0), time.Now()
		all = append(all, i)
	}

	for _, i := range all {
		<-time.After(time.Until(i.since.Add(timeout / 2)))
		// on a slower machine this proves nothing
		if alive := r.call(t, i.youngs, i.young); !alive && time.Since(i.since) < timeout*3/4 {
			t.Errorf("%s: a mapping was forgotten early", i.kind)
		}
	}

	for _, i := range all {
		<-time.After(time.Until(i.since.Add(timeout + 2*time.Second)))
		if r.call(t, i.olds, i.old) {
			t.Errorf("%s: an idle mapping was not forgotten", i.kind)
		}
	}

	var seconds []byte
	err := lab.Network(Firewall).router.do(func() (err error) {
		seconds, err = os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_udp_timeout")
		return err
	})
	if err != nil || string(seconds) != "30\n" {
		t.Errorf("the firewall's timeout is %q, %v; want 30", seconds, err)
	}
}

// call sends to a mapped address from where its socket has sent to, and reports whether the socket receives it.
func (r *reflector) call(t *testing.T, mapped netip.AddrPort, s *socket) bool {
	t.Helper()
	arrived := s.host.network.Record()
	for _, text := range []string{"call", "after the call"} {
		if _, err := r.conns[0][0].WriteTo([]byte(text), net.UDPAddrFromAddrPort(mapped)); err != nil {
			t.Fatal(err)
		}
	}

	eventually(t, "the call is over the line", func() bool {
		return len(carrying(arrived.Packets(), "after the call")) == 1
	})
	got := s.ask(t, r, [2]int{1, 1}, [2]int{1, 1})
	if !got.ended {
		t.Fatal("no answer")
	}
	return got.others["call"]
}
