package turn

import (
	"bufio"
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/test/bubble"
)

// pipes is a listener whose connections are in memory, so that they can use a synctest bubble's clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.close.Do(func() { close(l.done) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// from is a connection with a client's address.
type from struct {
	net.Conn
	at *net.TCPAddr
}

func (f from) RemoteAddr() net.Addr { return f.at }

// buffered is the client's end. What comes waits here, as in a socket, and blocks no sender.
type buffered struct {
	net.Conn
	in       chan []byte
	rest     []byte
	deadline time.Time
}

func (b *buffered) pump() {
	defer close(b.in)
	for {
		p := make([]byte, 4096)
		n, err := b.Conn.Read(p)
		if err != nil {
			return
		}
		b.in <- p[:n]
	}
}

func (b *buffered) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		select {
		case b.rest = <-b.in:
			if b.rest == nil {
				return 0, net.ErrClosed
			}
		case <-time.After(time.Until(b.deadline)):
			return 0, os.ErrDeadlineExceeded
		}
	}

	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *buffered) SetReadDeadline(at time.Time) error {
	b.deadline = at
	return nil
}

// inBubble runs a test with a camera and a viewer of one session, on a server that uses a synctest bubble's clock:
// hours pass at once.
func inBubble(t *testing.T, test func(t *testing.T, cam, view *client)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		listener := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		keys := newKeys(t)
		s, err := New(Config{Address: "127.0.0.1:0", Keys: keys, Streams: []net.Listener{listener}})
		if err != nil {
			t.Fatal(err)
		}

		// Real sockets know only the machine's clock.
		datagrams, streams := s.transports[0], s.transports[1]
		datagrams.front.Close()
		s.transports = []*transport{streams}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		g := grant(t, keys)
		var ends []*client

		for i, cred := range []Credential{g.Camera, g.Viewer} {
			ours, theirs := net.Pipe()
			in := &buffered{Conn: ours, in: make(chan []byte, 4096)}
			go in.pump()
			listener.conns <- from{theirs, &net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(i+1)), Port: 1000}}
			ends = append(ends, &client{
				t:     t,
				conn:  in,
				in:    bufio.NewReader(in),
				cred:  cred,
				realm: "peephole",
			})
		}

		test(t, ends[0], ends[1])
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}

		for _, end := range ends {
			end.conn.Close()
		}
	})
}

// got returns the packets that have come to a client since the last call.
func (c *client) got() []received {
	c.t.Helper()
	synctest.Wait()
	c.fence()
	data := c.data
	c.data = nil
	return data
}

func (c *client) mustAllocate() {
	c.t.Helper()
	if code := c.allocate(); code != 0 {
		c.t.Fatal(code)
	}
}

// TestPermissionExpires: a permission lasts five minutes (RFC 8656, section 9) from when it was last asked for, and a
// packet needs one at both ends.
func TestPermissionExpires(t *testing.T) {
	inBubble(t, func(t *testing.T, cam, view *client) {
		cam.mustAllocate()
		view.mustAllocate()
		both := func(c *client, other *client) {
			t.Helper()
			if code := c.permit(peerAt(other.relayed)); code != 0 {
				t.Fatal(code)
			}
		}

		passes := func(when string, want int) {
			t.Helper()
			cam.send(peerAt(view.relayed), when)
			if got := view.got(); len(got) != want {
				t.Errorf("%s: %v came, want %d", when, got, want)
			}
		}

		cam.keep()
		view.keep()
		both(cam, view)
		passes("before the receiver permits", 0)
		both(view, cam)
		passes("at once", 1)
		time.Sleep(5*time.Minute - time.Second)
		passes("after 4:59", 1)
		both(cam, view)
		time.Sleep(2 * time.Second)
		passes("once the receiver's has ended", 0)
		both(view, cam)
		passes("once it is made again", 1)
		time.Sleep(4*time.Minute + 59*time.Second)
		passes("once the sender's has ended", 0)
		both(cam, view)
		both(view, cam)

		for range 3 {
			time.Sleep(4 * time.Minute)
			both(cam, view)
			both(view, cam)
			passes("while both are renewed", 1)
		}
	})
}

// TestChannelAndPeerAreBoundToEachOther: a channel lasts ten minutes (RFC 8656, section 12) from when it was last
// bound. It has one peer, and the peer has one channel, until it ends; then both can be bound differently.
func TestChannelAndPeerAreBoundToEachOther(t *testing.T) {
	inBubble(t, func(t *testing.T, cam, view *client) {
		cam.mustAllocate()
		view.mustAllocate()
		bind := func(c *client, channel uint16, to *client, want int) {
			t.Helper()
			if code := c.bind(channel, peerAt(to.relayed)); code != want {
				t.Errorf("bind %#x: %d, want %d", channel, code, want)
			}
		}

		passes := func(when string, channel uint16, want ...received) {
			t.Helper()
			cam.sendChannel(channel, "picture")
			if got := view.got(); len(got) != len(want) || len(want) == 1 && got[0] != want[0] {
				t.Errorf("%s: %v came, want %v", when, got, want)
			}
		}

		const number, other = 0x4000, 0x4001
		came := received{channel: other, data: "picture"}
		cam.keep()
		view.keep()
		bind(cam, number, view, 0)
		bind(view, other, cam, 0)
		bind(cam, other, view, 400) // a peer has one channel
		passes("at once", number, came)
		passes("on a channel that is not bound", other)

		for range 3 {
			time.Sleep(9*time.Minute + 50*time.Second)
			permitBoth(cam, view)
			passes("before its end, with permissions", number, came)
			bind(cam, number, view, 0)
			bind(view, other, cam, 0)
			passes("while it is bound again", number, came)
			cam.keep()
			view.keep()
		}

		time.Sleep(10*time.Minute + time.Second)
		passes("after ten minutes", number)
		bind(cam, other, view, 0)
		bind(view, number, cam, 0)
		passes("by other numbers", other, received{channel: number, data: "picture"})
	})
}

// keep refreshes with the longest lifetime that there is.
func (c *client) keep() {
	c.t.Helper()
	if _, code := c.ask(stun.MethodRefresh, attribute(stun.AttrLifetime, 0, 0, 0x0e, 0x0f)); code != 0 { // 3,599 s
		c.t.Fatal(code)
	}
}

// TestAllocationEndsUnlessRefreshed: an allocation lasts ten minutes by default, or up to an hour if the client asks
// for it, and ends unless it is refreshed (RFC 8656, sections 7.2 and 8.2).
func TestAllocationEndsUnlessRefreshed(t *testing.T) {
	inBubble(t, func(t *testing.T, cam, view *client) {
		alive := func(when string, want bool) {
			t.Helper()
			if code := view.permit(peerAt(cam.relayed)); (code == 0) != want {
				t.Errorf("%s: permission for it: %d", when, code)
			}
		}

		view.mustAllocate()
		view.keep()
		cam.mustAllocate()
		time.Sleep(9*time.Minute + 59*time.Second)
		alive("after 9:59", true)
		cam.keep()
		view.keep()
		time.Sleep(59 * time.Minute)

		for _, end := range []*client{cam, view} { // an hour is as long as a nonce lasts (RFC 8489, section 9.2.4)
			m, code := end.ask(stun.MethodCreatePermission, peerAt(view.relayed))
			if code != 438 || end.nonce.GetFrom(m) != nil {
				t.Errorf("old nonce: %d, want 438 and a new one", code)
			}
		}

		view.keep()
		alive("59 minutes after a refresh with the longest lifetime", true)
		time.Sleep(time.Minute)
		alive("after an hour", false)
		if _, code := cam.ask(stun.MethodRefresh); code != 437 {
			t.Errorf("refresh of an ended allocation: %d, want 437", code)
		}
	})
}

// TestMobilityIsNotOffered: a client that asks for mobility (RFC 8016) gets an allocation without a ticket, and a
// ticket moves no allocation.
func TestMobilityIsNotOffered(t *testing.T) {
	const mobilityTicket = stun.AttrType(0x8030)
	s := serve(t, Config{})
	g := grant(t, s.config.Keys)
	cam := dial(t, s, "udp", g.Camera)
	m, code := cam.ask(stun.MethodAllocate, wantUDP, attribute(mobilityTicket))
	if code != 0 || m.Contains(mobilityTicket) {
		t.Errorf("%d, ticket: %v", code, m.Contains(mobilityTicket))
	}

	elsewhere := dial(t, s, "udp", g.Camera)
	if _, code := elsewhere.ask(stun.MethodRefresh, attribute(mobilityTicket, 1, 2, 3, 4)); code != 437 {
		t.Errorf("refresh from elsewhere: %d, want 437", code)
	}
}
