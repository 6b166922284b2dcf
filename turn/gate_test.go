package turn

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// forbidden returns addresses that a relay must never be talked into reaching, in all their spellings.
func forbidden(own *net.UDPConn) map[string]netip.AddrPort {
	self := own.LocalAddr().(*net.UDPAddr).AddrPort()
	port := self.Port()
	all := map[string]netip.AddrPort{"loopback socket": self}
	for name, ip := range map[string]string{
		"loopback":               "127.0.0.1",
		"loopback, mapped":       "::ffff:127.0.0.1",
		"loopback, IPv6":         "::1",
		"loopback, NAT64":        "64:ff9b::7f00:1",
		"loopback, 6to4":         "2002:7f00:1::",
		"loopback, compatible":   "::127.0.0.1",
		"unspecified":            "0.0.0.0",
		"unspecified, IPv6":      "::",
		"private 10":             "10.0.0.1",
		"private 172":            "172.16.0.1",
		"private 192":            "192.168.1.1",
		"private, mapped":        "::ffff:192.168.1.1",
		"CGNAT":                  "100.64.0.1",
		"link-local":             "169.254.1.1",
		"link-local, IPv6":       "fe80::1",
		"metadata":               "169.254.169.254",
		"metadata, mapped":       "::ffff:169.254.169.254",
		"metadata, IPv6":         "fd00:ec2::254",
		"unique local":           "fd12:3456:789a::1",
		"multicast":              "224.0.0.251",
		"multicast, IPv6":        "ff02::fb",
		"broadcast":              "255.255.255.255",
		"documentation":          "192.0.2.1",
		"Teredo":                 "2001:0:4136:e378:8000:63bf:3fff:fdd2",
		"public":                 "8.8.8.8",
		"public, IPv6":           "2001:4860:4860::8888",
		"relayed, nobody's":      "198.19.255.1",
		"relayed block's bottom": "198.18.0.0",
	} {
		all[name] = netip.AddrPortFrom(netip.MustParseAddr(ip), port)
	}

	return all
}

// tryOut asks for every peer, which must be refused, and sends to it regardless. It returns a channel that it did not
// ask for.
func (c *client) tryOut(t *testing.T, peers map[string]netip.AddrPort) (channel uint16) {
	t.Helper()
	channel = 0x4000
	for name, peer := range peers {
		if code := c.permit(peerAttribute(peer)); code != 403 {
			t.Errorf("permission for %s: %d", name, code)
		}
		if code := c.bind(channel, peerAttribute(peer)); code != 403 {
			t.Errorf("channel to %s: %d", name, code)
		}

		c.send(peerAttribute(peer), "out")
		c.sendChannel(channel, "out!")
		channel++
	}

	return channel
}

// TestForbiddenPeers: a client with good credentials gets 403 for every peer except the other end, and what it sends to
// such a peer regardless goes nowhere.
func TestForbiddenPeers(t *testing.T) {
	for _, over := range []string{"udp", "tcp"} {
		t.Run(over, func(t *testing.T) {
			s := serve(t, Config{})
			cam, view := pair(t, s, over, "udp")
			stranger, _ := pair(t, s, over, "udp")
			own := sink(t)
			peers := forbidden(own)
			peers["the server, UDP"] = s.Addresses().UDP
			peers["the server, TCP"] = tcpOf(s)
			peers["another session's camera"] = stranger.relayed.AddrPort()
			peers["itself"] = cam.relayed.AddrPort()
			v := view.relayed.AddrPort()
			peers["other end, mapped"] = netip.AddrPortFrom(netip.AddrFrom16(v.Addr().As16()), v.Port())
			channel := cam.tryOut(t, peers)
			if code := cam.bind(channel, peerAttribute(netip.AddrPortFrom(v.Addr(), v.Port()+1))); code != 403 {
				t.Errorf("channel to another port of the other end: %d", code)
			}

			if code := cam.permit(peerAt(view.relayed), peerAttribute(peers["metadata"])); code != 403 {
				t.Errorf("permission for the other end and more: %d", code)
			}
			cam.fence()
			untouched(t, own)
			n := s.Stats()
			if want := uint64(2*len(peers) + 2); n.Refusals["peer"] != want || n.Packets != 0 {
				t.Errorf("%d refused, want %d; %d relayed", n.Refusals["peer"], want, n.Packets)
			}

			if code := cam.permit(peerAt(view.relayed)); code != 0 {
				t.Errorf("permission for the other end: %d", code)
			}
		})
	}
}

// TestGateAloneLetsNothingThrough plants a fault: the permission handler allows everything. Then every packet comes to
// the gate, and the gate lets none pass, in particular none between two sessions.
func TestGateAloneLetsNothingThrough(t *testing.T) {
	for _, over := range []string{"udp", "tcp"} {
		t.Run(over, func(t *testing.T) {
			s := serve(t, Config{}, func(s *Server) {
				for _, tr := range s.transports {
					tr.permit = func(net.Addr, net.IP) bool { return true }
				}
			})

			cam, view := pair(t, s, over, "udp")
			stranger, strangerView := pair(t, s, "udp", over)
			own := sink(t)
			peers := forbidden(own)
			for i, c := range []*client{stranger, strangerView} {
				peers[fmt.Sprintf("stranger %d", i)] = c.relayed.AddrPort()
				if code := c.permit(peerAt(cam.relayed)); code != 0 { // it would take what comes
					t.Fatalf("the fault is not planted: %d", code)
				}
			}

			peers["itself"] = cam.relayed.AddrPort()
			v := view.relayed.AddrPort()
			peers["other end, mapped"] = netip.AddrPortFrom(netip.AddrFrom16(v.Addr().As16()), v.Port())
			peers["other end, other port"] = netip.AddrPortFrom(v.Addr(), v.Port()+2)
			channel, sent := uint16(0x4000), uint64(0)
			for name, peer := range peers {
				if code := cam.permit(peerAttribute(peer)); code != 0 {
					t.Fatalf("the fault is not planted: permission for %s: %d", name, code)
				}
				cam.send(peerAttribute(peer), "out")
				sent++
				if code := cam.bind(channel, peerAttribute(peer)); code == 0 {
					cam.sendChannel(channel, "out!")
					sent++
				} else if code != 400 ||
					!strings.HasPrefix(name, "loopback") && !strings.HasPrefix(name, "private") &&
						!strings.HasPrefix(name, "metadata") {
					// pion takes a mapped address for the same as its plain form, and refuses the second channel to one
					t.Fatalf("the fault is not planted: channel to %s: %d", name, code)
				}
				channel++
			}

			cam.fence()
			untouched(t, own)
			n := s.Stats()
			if n.Packets != 0 {
				t.Errorf("%d packets got through", n.Packets)
			}

			if got := n.Drops["not_peer"]; got != sent {
				t.Errorf("%d packets came to the gate, want %d", got, sent)
			}

			// Nothing waits on the other side either: the first packet that a stranger gets is from the other stranger.
			strangerView.send(peerAt(stranger.relayed), "x")
			if code := strangerView.permit(peerAt(stranger.relayed)); code != 0 {
				t.Fatal(code)
			}
			if code := stranger.permit(peerAt(strangerView.relayed)); code != 0 {
				t.Fatal(code)
			}

			strangerView.send(peerAt(stranger.relayed), "ours")
			if got := stranger.receive(); got.data != "ours" || got.from != strangerView.relayed.String() {
				t.Errorf("stranger got %+v", got)
			}
		})
	}
}

// TestLaterAllocationLosesTheLastPlace: if two transports gave away the same last place, the later allocation is closed
// at once.
func TestLaterAllocationLosesTheLastPlace(t *testing.T) {
	s, err := New(Config{
		Address:    "127.0.0.1:0",
		Keys:       newKeys(t),
		MaxPerRole: 1,
		Streams:    listenStreams(t, "127.0.0.1:0")[:1],
	})
	if err != nil {
		t.Fatal(err)
	}

	defer s.Close()
	name := grant(t, s.config.Keys).Camera.Username
	for i, tr := range s.transports {
		a, err := s.relay.newAllocation()
		if err != nil {
			t.Fatal(err)
		}
		from := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1000 + i}
		tr.onAllocationCreated(from, nil, "", name, "", a.LocalAddr(), 0)
		if bound := a.bound.Load() != nil; bound != (i == 0) {
			t.Errorf("allocation %d: bound %v", i, bound)
		}
	}

	if n := addressesInUse(s); n != 1 || s.Stats().Allocations != 1 || s.Stats().Refusals["quota"] != 1 {
		t.Errorf("%d addresses, %+v", n, s.Stats())
	}
}

// TestEndingAllocationGetsNoPermission: an allocation that is about to end gets no more permissions, unless it is
// refreshed.
func TestEndingAllocationGetsNoPermission(t *testing.T) {
	s, err := New(Config{Address: "127.0.0.1:0", Keys: newKeys(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	tr, g := s.transports[0], grant(t, s.config.Keys)
	r := tr.front.request(netip.AddrPort{})
	r.lifetime = lastMoment / 2
	var clients []*net.UDPAddr
	var relayed []*allocation
	for i, name := range []string{g.Camera.Username, g.Viewer.Username} {
		a, err := s.relay.newAllocation()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		clients = append(clients, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1000 + i})
		relayed = append(relayed, a)
		tr.onAllocationCreated(clients[i], nil, "", name, "", a.LocalAddr(), 0)
	}

	peer := net.IP(addressOf(relayed[1].host).Addr().AsSlice())
	if tr.permits(clients[0], peer) || r.refusal != stun.CodeAllocMismatch {
		t.Errorf("a permission in the last moment was granted, or refused with %d", r.refusal)
	}
	for method, lives := range map[stun.Method]bool{stun.MethodCreatePermission: false, stun.MethodRefresh: true} {
		r.method, r.lifetime = method, time.Hour
		if tr.onAuth(clients[0], nil, "", "", "", "", true); tr.permits(clients[0], peer) != lives {
			t.Errorf("after %v a permission is granted: %v", method, !lives)
		}
		r.lifetime = lastMoment / 2
		r.method = stun.MethodRefresh
		tr.onAuth(clients[0], nil, "", "", "", "", true)
	}

	for _, row := range []struct {
		message []byte
		want    time.Duration
	}{
		{message(0x0003, ""), 10 * time.Minute},
		{message(0x0004, "000d0004"+"0000000a"), 10 * time.Second},
		{message(0x0004, "000d0004"+"00000000"), 0},
		{message(0x0004, "000d0004"+"00000e10"), 10 * time.Minute},
		{message(0x0004, "000d0002"+"00010000"), 10 * time.Minute},
	} {
		var r request
		if !r.inspect(row.message, true) || r.lifetime != row.want {
			t.Errorf("%x lives for %v, want %v", row.message, r.lifetime, row.want)
		}
	}
}

// TestRelayedAddressesAreUsedInTurn: every address is in the block and used once at a time, in a circle: first all IPs
// with one port, then all with the next.
func TestRelayedAddressesAreUsedInTurn(t *testing.T) {
	var n counters
	r := newRelay(Config{MaxAllocations: MaxAddresses}.withDefaults(), &n)
	const ips = MaxAddresses / relayedPorts
	for _, row := range []struct {
		last uint32
		want []string
	}{
		{ips - 3, []string{"198.19.255.253:49153", "198.19.255.254:49153", "198.18.0.1:49155", "198.18.0.2:49155"}},
		{MaxAddresses - 2, []string{"198.19.255.254:49167", "198.18.0.1:49153", "198.18.0.2:49153"}},
		{ips - 3, []string{"198.18.0.3:49155"}}, // skips those in use
		{MaxAddresses - 2, []string{"198.18.0.3:49153"}},
	} {
		r.last = row.last
		for _, want := range row.want {
			a, err := r.newAllocation()
			if err != nil || a.LocalAddr().String() != want || hostOf(addressOf(a.host)) != a.host {
				t.Errorf("got %v, %v, want %s", a.LocalAddr(), err, want)
			}
		}
	}

	for _, none := range []string{
		"198.18.0.0:49153",
		"198.18.0.1:49151",
		"198.18.0.1:49154",
		"198.18.0.1:49169",
		"198.18.0.1:1",
		"198.17.255.255:49153",
		"198.20.0.0:49153",
		"[::ffff:198.18.0.1]:49153",
	} {
		if host := hostOf(netip.MustParseAddrPort(none)); host != 0 {
			t.Errorf("%s is relayed address %x", none, host)
		}
	}

	r.maxAllocations = len(r.addresses)
	if _, err := r.newAllocation(); err != errFull {
		t.Errorf("beyond the limit: %v", err)
	}
}

// TestRelaysBeginApart: a session may have allocations on two relays, and tells them apart by their addresses alone.
func TestRelaysBeginApart(t *testing.T) {
	var n counters
	first := make(map[uint32]bool)
	for range 8 {
		a, err := newRelay(Config{}.withDefaults(), &n).newAllocation()
		if err != nil {
			t.Fatal(err)
		}
		first[a.host] = true
	}

	if len(first) < 7 { // of a million
		t.Errorf("eight relays began at %d addresses", len(first))
	}
}
