package turn

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// written is a request with credentials that is sent and whose answer nobody waits for.
func (c *client) written(method stun.Method, setters ...stun.Setter) {
	c.t.Helper()
	m, err := stun.Build(append(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, setters...),
		stun.NewUsername(c.cred.Username), stun.NewRealm(c.realm), c.nonce, stun.NewLongTermIntegrity(c.cred.Username, c.realm, c.cred.Password))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(m.Raw)
}

// fromPeer is the next packet from a peer; answers to requests are passed over.
func (c *client) fromPeer() string {
	c.t.Helper()
	for {
		if r, ok := c.packet(c.next()); ok {
			return r.data
		}
	}
}

// TestBehindItsRequest: what a client sends right behind the request that makes a way for it takes that way, in order.
func TestBehindItsRequest(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Config{sockets: kind})
			for range 10 {
				cam, view := pair(t, s, "udp", "udp")
				if code := view.permit(peerAt(cam.relayed)); code != 0 {
					t.Fatal(code)
				}
				cam.written(stun.MethodCreatePermission, peerAt(view.relayed))
				for i := range 5 {
					cam.send(peerAt(view.relayed), fmt.Sprint("permitted ", i))
				}
				cam.written(stun.MethodChannelBind, attribute(stun.AttrChannelNumber, 0x40, 0, 0, 0), peerAt(view.relayed))
				for i := range 5 {
					cam.sendChannel(0x4000, fmt.Sprint("bound ", i))
				}
				for i := range 10 {
					want := fmt.Sprint("permitted ", i)
					if i >= 5 {
						want = fmt.Sprint("bound ", i-5)
					}
					if got := view.fromPeer(); got != want {
						t.Fatalf("packet %d is %q, want %q", i, got, want)
					}
				}
			}
		})
	}
}

// TestBehindIsBounded: few packets of a client wait, none of one who has not asked, and none for a request that is done.
func TestBehindIsBounded(t *testing.T) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam, view := bound(t, r, 1, camera), bound(t, r, 1, viewer)
	d := newDatagrams(nil, r, "peephole", newCredit(time.Now()))
	d.out = new(kept)
	in := ingress{relay: r, requests: d, out: new(kept)}
	from := cam.bound.Load().client()
	built := func(kind stun.MessageType, setters ...stun.Setter) []byte {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, kind, peerAttribute(addressOf(view.host))}, setters...)...)
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}
	packet := built(stun.NewType(stun.MethodSend, stun.ClassIndication), attribute(stun.AttrData, 1, 2, 3, 4))
	for range 3 {
		in.datagrams(packet, len(packet), from, netip.Addr{})
	}
	if got := n.snapshot().Drops["no_permission"]; got != 3 || len(d.requests) != 0 {
		t.Errorf("%d dropped and %d wait without a request, want 3 and 0", got, len(d.requests))
	}
	request := built(stun.NewType(stun.MethodCreatePermission, stun.ClassRequest), stun.NewUsername("user"), attribute(stun.AttrMessageIntegrity, make([]byte, 20)...))
	in.datagrams(request, len(request), from, netip.Addr{})
	for range mostBehind + 4 {
		in.datagrams(packet, len(packet), from, netip.Addr{})
	}
	if got := n.snapshot().Drops["no_permission"]; got != 3+4 || len(d.requests) != 1+mostBehind {
		t.Errorf("%d dropped and %d wait behind a request, want 7 and 17", got, len(d.requests))
	}
	p := make([]byte, maxMessage+1)
	if _, _, err := d.ReadFrom(p); err != nil {
		t.Fatal(err)
	}
	cam.permit(ipOf(view.host), true)
	view.permit(ipOf(cam.host), true)
	if in.datagrams(packet, len(packet), from, netip.Addr{}); len(in.out.(*kept).packets) != 0 {
		t.Error("a packet has overtaken those that wait")
	}
	go func() { _, _, _ = d.ReadFrom(p) }()
	await(t, func() bool { return cam.behind.packets.Load() == 0 })
	close(d.closed)
	<-d.ended
	if got := len(d.out.(*kept).packets); got != mostBehind || cam.behind.requests.Load() != 0 {
		t.Errorf("%d packets went their way in the end, %d requests under way; want %d and none", got, cam.behind.requests.Load(), mostBehind)
	}
	if in.datagrams(packet, len(packet), from, netip.Addr{}); len(in.out.(*kept).packets) != 1 {
		t.Error("with nothing before it a packet does not go its way at once")
	}
}
