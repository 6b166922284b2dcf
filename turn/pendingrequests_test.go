package turn

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// writeRequest sends a request with credentials, and does not wait for the answer.
func (c *client) writeRequest(method stun.Method, setters ...stun.Setter) {
	c.t.Helper()
	m, err := stun.Build(append(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)},
		setters...),
		stun.NewUsername(c.cred.Username), stun.NewRealm(c.realm), c.nonce,
		stun.NewLongTermIntegrity(c.cred.Username, c.realm, c.cred.Password))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(m.Raw)
}

// fromPeer returns the data of the next packet from a peer. It skips answers to requests.
func (c *client) fromPeer() string {
	c.t.Helper()
	for {
		if r, ok := c.packet(c.next()); ok {
			return r.data
		}
	}
}

// TestPacketBehindItsRequestIsRelayed: packets that a client sends right behind the request that makes a route for them
// are relayed, in order.
func TestPacketBehindItsRequestIsRelayed(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Config{sockets: kind})
			for range 10 {
				cam, view := pair(t, s, "udp", "udp")
				if code := view.permit(peerAt(cam.relayed)); code != 0 {
					t.Fatal(code)
				}
				cam.writeRequest(stun.MethodCreatePermission, peerAt(view.relayed))
				for i := range 5 {
					cam.send(peerAt(view.relayed), fmt.Sprint("permitted ", i))
				}

				cam.writeRequest(stun.MethodChannelBind, attribute(stun.AttrChannelNumber, 0x40, 0, 0, 0),
					peerAt(view.relayed))
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

// TestPendingPacketsAreBounded: only so many packets of a client wait, none if it has made no request, and none once
// its requests are done.
func TestPendingPacketsAreBounded(t *testing.T) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam, view := bound(t, r, 1, camera), bound(t, r, 1, viewer)
	d := newDatagrams(nil, r, "peephole", newAmplificationLimit(time.Now()))
	d.out = new(kept)
	in := ingress{relay: r, requests: d, out: new(kept)}
	from := cam.bound.Load().client()

	built := func(kind stun.MessageType, setters ...stun.Setter) []byte {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, kind, peerAttribute(addressOf(view.host))},
			setters...)...)
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}

	packet := built(stun.NewType(stun.MethodSend, stun.ClassIndication), attribute(stun.AttrData, 1, 2, 3, 4))
	for range 3 {
		in.receive(packet, len(packet), from, netip.Addr{})
	}
	if got := n.snapshot().Drops["no_permission"]; got != 3 || len(d.clients) != 0 {
		t.Errorf("%d dropped and %d wait without a request, want 3 and 0", got, len(d.clients))
	}

	request := built(stun.NewType(stun.MethodCreatePermission, stun.ClassRequest), stun.NewUsername("user"),
		attribute(stun.AttrMessageIntegrity, make([]byte, 20)...))
	in.receive(request, len(request), from, netip.Addr{})
	for range maxPendingPackets + 4 {
		in.receive(packet, len(packet), from, netip.Addr{})
	}

	if got := n.snapshot().Drops["no_permission"]; got != 3+4 || len(d.clients) != 1+maxPendingPackets {
		t.Errorf("%d dropped and %d wait behind a request, want 7 and 17", got, len(d.clients))
	}
	p := make([]byte, maxMessage+1)
	if _, _, err := d.ReadFrom(p); err != nil {
		t.Fatal(err)
	}

	cam.setPermission(ipOf(view.host), true)
	view.setPermission(ipOf(cam.host), true)
	if in.receive(packet, len(packet), from, netip.Addr{}); len(in.out.(*kept).packets) != 0 {
		t.Error("a packet overtook those that wait")
	}

	go func() { _, _, _ = d.ReadFrom(p) }()
	await(t, func() bool { return cam.pending.packets.Load() == 0 })
	close(d.closed)
	<-d.ended
	if got := len(d.out.(*kept).packets); got != maxPendingPackets || cam.pending.requests.Load() != 0 {
		t.Errorf("%d packets went their way in the end, %d requests under way; want %d and none", got,
			cam.pending.requests.Load(), maxPendingPackets)
	}

	if in.receive(packet, len(packet), from, netip.Addr{}); len(in.out.(*kept).packets) != 1 {
		t.Error("a packet waits although nothing is before it")
	}
}

// TestPacketsBeforeAPendingOneLeaveFirst: a packet that waits leaves by the outlet of pion's read loop, so those of its
// client before it must have left the reader's.
func TestPacketsBeforeAPendingOneLeaveFirst(t *testing.T) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam, view := bound(t, r, 1, camera), bound(t, r, 1, viewer)
	cam.addChannel(view.host, 0x4000)
	view.addChannel(cam.host, 0x4001)
	d := newDatagrams(nil, r, "peephole", newAmplificationLimit(time.Now()))
	out := new(late)
	in := ingress{relay: r, requests: d, out: out}

	cam.pending.requests.Add(1)
	from := cam.bound.Load().client()
	in.receive([]byte{0x40, 0, 0, 1, 'a'}, 5, from, netip.Addr{})
	if len(out.sent) != 0 {
		t.Fatalf("sent before the reader is done: %q", out.sent)
	}
	in.receive([]byte{0x40, 5, 0, 1, 'b'}, 5, from, netip.Addr{}) // a channel that is being bound
	if len(d.clients) != 1 || len(out.sent) != 1 || out.sent[0] != "a" {
		t.Errorf("%d packets wait behind %q, want one behind the first", len(d.clients), out.sent)
	}
}

// TestPendingPacketsAreDroppedForTheirOwnReason: what waited for requests and has no route in the end is counted as if
// it had not waited, and what is too big does not wait.
func TestPendingPacketsAreDroppedForTheirOwnReason(t *testing.T) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam := bound(t, r, 1, camera)
	bound(t, r, 1, viewer)
	d := newDatagrams(nil, r, "peephole", newAmplificationLimit(time.Now()))
	d.out = new(kept)
	in := ingress{relay: r, requests: d, out: new(kept)}

	cam.pending.requests.Add(1) // as long as the test runs
	from := cam.bound.Load().client()
	for range maxPendingPackets + 1 { // one more than may wait
		in.receive([]byte{0x50, 0, 0, 1, 'a'}, 5, from, netip.Addr{})
	}
	big := make([]byte, channelHeader+maxMessage)
	copy(big, []byte{0x40, 0, byte(maxMessage >> 8), byte(maxMessage & 0xff)})
	in.receive(big, len(big), from, netip.Addr{})

	go func() { _, _, _ = d.ReadFrom(make([]byte, maxMessage+1)) }()
	await(t, func() bool { return cam.pending.packets.Load() == 0 })
	close(d.closed)
	<-d.ended
	want := map[string]uint64{"no_channel": maxPendingPackets + 1, "too_big": 1}
	for reason, got := range n.snapshot().Drops {
		if uint64(got) != want[reason] {
			t.Errorf("%d dropped as %s, want %d", got, reason, want[reason])
		}
	}
}
