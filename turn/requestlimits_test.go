package turn

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/netlimit"
)

// ended fails the test unless the server closes the client's connection.
func (c *client) ended() {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c.conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Error("the connection stays open")
	}
}

func TestConnectionEndsWhoseClientComesToNothing(t *testing.T) {
	s := serve(t, Config{})
	allocate := stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	for name, row := range map[string]struct {
		answers int
		ask     func(*client)
	}{
		"bindings":      {maxTries, func(c *client) { c.do(stun.BindingRequest, stun.Fingerprint) }},
		"challenges":    {maxTries, func(c *client) { c.do(allocate, wantUDP) }},
		"bad passwords": {maxFailures, func(c *client) { c.ask(stun.MethodAllocate, wantUDP) }},
	} {
		t.Run(name, func(t *testing.T) {
			cred := grant(t, s.config.Keys).Camera
			cred.Password = "guessed"
			c := dial(t, s, "tcp", cred)
			if name == "bad passwords" {
				c.nonce = s.nonce(t)
			}

			for range row.answers {
				row.ask(c)
			}
			c.write(message(0x0001, ""))
			c.ended()
		})
	}

	if n := s.Stats().Drops["request_rate"]; n != 3 {
		t.Errorf("%d drops were counted, want one for each connection", n)
	}

	// Relayed packets do not count, and neither do tries from before the allocation.
	cam, view := pair(t, s, "tcp", "tcp")
	bindBoth(cam, 0x4000, view, 0x4000)
	for range 3 * maxTries {
		cam.sendChannel(0x4000, "picture")
		view.receive()
		cam.fence()
	}
}

// nonce returns a nonce that the server accepts.
func (s *Server) nonce(t *testing.T) (n stun.Nonce) {
	t.Helper()
	m := dial(t, s, "tcp", Credential{}).do(stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	if err := n.GetFrom(m); err != nil {
		t.Fatal(err)
	}
	return n
}

// clientAt returns a client at an address of this machine.
func clientAt(t *testing.T, s *Server, over, address string, cred Credential) *client {
	t.Helper()
	local := net.Addr(&net.UDPAddr{IP: net.ParseIP(address)})
	to := s.Addresses().UDP
	if over == "tcp" {
		local, to = &net.TCPAddr{IP: net.ParseIP(address)}, tcpOf(s)
	}

	conn, err := (&net.Dialer{LocalAddr: local}).Dial(over, to.String())
	if err != nil {
		t.Fatal(err)
	}
	return speak(t, conn, cred)
}

// answers counts the messages that come to a client from now on.
func (c *client) answers() *atomic.Uint64 {
	var n atomic.Uint64
	go func() {
		for p := make([]byte, 2048); ; n.Add(1) {
			if _, err := c.conn.Read(p); err != nil {
				return
			}
		}
	}()

	return &n
}

// TestRequestsOfAnAddressAreBounded: one address asks for all that it can, in every way. That disturbs neither a client
// there that has an allocation, nor another address.
func TestRequestsOfAnAddressAreBounded(t *testing.T) {
	const rate = 5
	allocate, guess := stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.NewShortTermIntegrity("guessed")
	for name, setters := range map[string][]stun.Setter{
		"bindings":       {stun.BindingRequest},
		"large bindings": {stun.BindingRequest, attribute(0x8022, make([]byte, 1200)...)},
		"challenges":     {allocate, wantUDP},
		"guesses": {
			allocate, wantUDP, stun.NewUsername("x"), stun.NewRealm("peephole"), stun.NewNonce("x"), guess,
		},
	} {
		request := stun.MustBuild(append([]stun.Setter{stun.TransactionID}, setters...)...)
		t.Run(name, func(t *testing.T) {
			s := serve(t, Config{Limits: Limits{AddressRequests: rate, Requests: netlimit.Config{Size: 1000}}})
			g := grant(t, s.config.Keys)
			lives := clientAt(t, s, "udp", "127.0.0.1", g.Camera)
			if code := lives.allocate(); code != 0 {
				t.Fatal(code)
			}

			stranger := clientAt(t, s, "udp", "127.0.0.1", Credential{})
			answered := stranger.answers()
			const floods, each = 40, 50 // few enough for any buffer
			for sent := each; sent <= floods*each; sent += each {
				for range each {
					stranger.write(request.Raw)
				}
				await(t, func() bool {
					n := s.Stats().Drops
					return int(n["request_rate"]+n["unproved"]+n["requests_full"]+answered.Load()) == sent
				})
			}

			if n := answered.Load(); n == 0 || n > floods*each/2 {
				t.Errorf("%d of %d were answered", n, floods*each)
			}
			lives.fence()
			if code := lives.refresh(30); code != 0 {
				t.Errorf("refresh at that address: %d", code)
			}

			if code := clientAt(t, s, "udp", "127.0.0.2", g.Viewer).allocate(); code != 0 {
				t.Errorf("allocate at another address: %d", code)
			}
		})
	}
}

// bindingSuccess is as long as the answer to a Binding request over IPv4.
var bindingSuccess [20 + 12 + 8]byte

// TestRequestsOverTCPCountForTheAddress: they do, and a client that makes too many is disconnected.
func TestRequestsOverTCPCountForTheAddress(t *testing.T) {
	const rate = 5
	s := serve(t, Config{Limits: Limits{AddressRequests: rate}})
	answered := 0
	for range 5 {
		c := clientAt(t, s, "tcp", "127.0.0.1", Credential{})
		for range maxTries {
			if _, err := c.conn.Write(message(0x0001, "")); err != nil {
				break // disconnected
			}
		}

		c.conn.SetReadDeadline(time.Now().Add(patience))
		all, _ := io.ReadAll(c.conn)
		answered += len(all) / len(bindingSuccess)
	}

	if answered > 2*strangerBurst*rate {
		t.Errorf("%d were answered", answered)
	}
	if code := clientAt(t, s, "tcp", "127.0.0.2", grant(t, s.config.Keys).Camera).allocate(); code != 0 {
		t.Errorf("allocate at another address: %d", code)
	}
}

// TestRequestsOfAPayerAreBounded: however many allocations a payer has, it makes no more requests than its share.
func TestRequestsOfAPayerAreBounded(t *testing.T) {
	var n counters
	r := newRelay(Config{Limits: Limits{Requests: netlimit.Config{Size: 1000}}}.withDefaults(), &n)
	now := time.Now()
	count := func(payer byte, address string) (may int) {
		for session := range byte(20) {
			a, err := openAt(t, r, 1+session, payer, address)
			if err != nil {
				t.Fatal(err)
			}
			for range 100 {
				if r.requests.allow(a, netip.MustParseAddr(address), now) {
					may++
				}
			}
		}
		return may
	}

	if may := count(1, "192.0.2.1"); may < 100 || may > 200 {
		t.Errorf("a payer may make %d requests at once", may)
	}
	if may := count(0, "192.0.2.1"); may < 50 {
		t.Errorf("its address may make only %d besides", may)
	}

	if may := count(2, "192.0.2.1"); may < 50 {
		t.Errorf("another payer at its address may make only %d", may)
	}
}

func TestClientsWithAnAllocationComeFirst(t *testing.T) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	d := newDatagrams(nil, r, "peephole", newAmplificationLimit(time.Now()))
	a, err := openAt(t, r, 1, 0, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}

	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewShortTermIntegrity("guessed")).Raw
	for i := range uint16(2 * maxWaiting) {
		d.handUp(nil, request, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.2"), i), netip.Addr{}, new(kept))
	}
	d.handUp(a, request, a.bound.Load().client(), netip.Addr{}, new(kept))
	if first := d.nextDatagram(); first.by != a {
		t.Error("a stranger's request came before that of a client")
	}

	if got := n.snapshot().Drops["requests_full"]; got != maxWaiting {
		t.Errorf("%d were dropped", got)
	}
}

// TestMeterCountsNetworks: a whole /48 has its own bound, above those of its /64s.
func TestMeterCountsNetworks(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := newMeter(10, 1, [netlimit.Levels]uint32{1, 4, 16}, now)
	had := 0
	for i := range 1 << 12 {
		a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 6: byte(i >> 8), 7: byte(i)})
		for m.spend(a, 0, 1, now) {
			had++
		}
	}

	if had != 160 {
		t.Errorf("a /48 had %d, want 160", had)
	}
	if !m.spend(netip.MustParseAddr("2001:db8:1::1"), 0, 1, now) {
		t.Error("the next /48 may have nothing")
	}

	if got := m.canSpend(netip.MustParseAddr("2001:db8::1"), 0, 1, now.Add(time.Second)); !got {
		t.Error("a second later it may still have nothing")
	}
}
