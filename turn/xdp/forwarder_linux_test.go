package xdp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

const (
	patience = time.Minute
	port     = 3478
)

// ground is a server's machine and its clients' machine, joined by a cable, with the program attached at the server's
// end. What the program does not forward comes to a socket there.
type ground struct {
	t       *testing.T
	f       *Forwarder
	server  *net.UDPConn
	at      netip.Addr // the server's
	a, b, c *net.UDPConn
	people  map[*net.UDPConn]Client
}

func newGround(t *testing.T) *ground {
	t.Helper()
	left, right := natlab.Cable(t)
	left.Express(t)
	if err := left.Hold(netip.MustParsePrefix("10.64.0.0/24"), right); err != nil {
		t.Fatal(err)
	}

	g := &ground{t: t, at: right.Addr, people: make(map[*net.UDPConn]Client)}
	listen := func(e *natlab.End, address string) (conn *net.UDPConn) {
		if err := e.Do(func() error {
			c, err := net.ListenPacket("udp4", address)
			if err == nil {
				conn = c.(*net.UDPConn)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() { conn.Close() })
		return conn
	}

	g.server = listen(right, netip.AddrPortFrom(right.Addr, port).String())
	if err := right.Do(func() (err error) {
		g.f, err = Attach(Config{Interface: right.Device, Port: port, Clients: 8})
		return err
	}); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := g.f.Close(); err != nil {
			t.Error(err)
		}
	})

	for i, conn := range []**net.UDPConn{&g.a, &g.b, &g.c} {
		*conn = listen(left, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 64, 0, byte(1 + i)}),
			uint16(5000+i)).String())
		client, err := g.f.AddClient()
		if err != nil {
			t.Fatal(err)
		}
		g.people[*conn] = client
	}

	return g
}

func address(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// join makes routes both ways between x on one channel and y on another.
func (g *ground) join(x *net.UDPConn, channel uint16, y *net.UDPConn, other uint16, limits ...TokenBucket) {
	g.t.Helper()
	for _, way := range []struct {
		from, to       *net.UDPConn
		channel, other uint16
	}{{x, y, channel, other}, {y, x, other, channel}} {
		err := g.f.SetRoute(Channel{address(way.from), way.channel}, Route{
			Server:   g.at,
			Via:      g.at,
			To:       Channel{address(way.to), way.other},
			Sender:   g.people[way.from],
			Receiver: g.people[way.to],
			Buckets:  limits,
		})
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

// channelData returns a ChannelData message (RFC 8656, section 12.4).
func channelData(channel uint16, data string) []byte {
	b := binary.BigEndian.AppendUint16(nil, channel)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

func (g *ground) send(from *net.UDPConn, p []byte) {
	g.t.Helper()
	if _, err := from.WriteToUDPAddrPort(p, netip.AddrPortFrom(g.at, port)); err != nil {
		g.t.Fatal(err)
	}
}

// comes waits for a packet, which must be want.
func (g *ground) comes(to *net.UDPConn, from netip.AddrPort, want []byte) {
	g.t.Helper()
	p := make([]byte, 2048)
	to.SetReadDeadline(time.Now().Add(patience))
	n, at, err := to.ReadFromUDPAddrPort(p)
	if err != nil || !bytes.Equal(p[:n], want) || at != from {
		g.t.Fatalf("%x from %v, %v; want %x from %v", p[:n], at, err, want, from)
	}
}

// meet makes both ends send once. From then on the program knows them both; the server's socket gets the first packet.
func (g *ground) meet(x *net.UDPConn, channel uint16, y *net.UDPConn, other uint16) {
	g.t.Helper()
	g.send(x, channelData(channel, "first"))
	g.comes(g.server, address(x), channelData(channel, "first"))
	g.send(y, channelData(other, "second"))
	g.comes(x, netip.AddrPortFrom(g.at, port), channelData(channel, "second"))
}

// TestPacketsAreForwardedByteForByte: what one end sends on its channel reaches the other end on its channel, byte for
// byte, from the server's own address. The server's sockets see none of it.
func TestPacketsAreForwardedByteForByte(t *testing.T) {
	g := newGround(t)
	g.join(g.a, 0x4001, g.b, 0x4777)
	g.meet(g.a, 0x4001, g.b, 0x4777)
	server := netip.AddrPortFrom(g.at, port)
	for _, size := range []int{0, 1, 3, 4, 18, 19, 1200, 1468} {
		data := string(bytes.Repeat([]byte{byte(size), 0xff, 0}, size)[:size])
		g.send(g.a, channelData(0x4001, data))
		g.comes(g.b, server, channelData(0x4777, data))
		g.send(g.b, channelData(0x4777, data))
		g.comes(g.a, server, channelData(0x4001, data))
	}

	g.send(g.a, append(channelData(0x4001, "padded"), 1, 2))
	g.comes(g.b, server, append(channelData(0x4777, "padded"), 1, 2))
	n, err := g.f.Counts()
	if want := uint64(18); err != nil || n.Packets != want || n.Limited != 0 {
		t.Errorf("%+v, %v; want %d packets", n, err, want)
	}
	g.quiet(g.server)
}

// quiet fails if a packet waits at a socket, other than the one that it sends now.
func (g *ground) quiet(c *net.UDPConn) {
	g.t.Helper()
	g.send(g.c, []byte("fence"))
	if c == g.server {
		g.comes(c, address(g.c), []byte("fence"))
		return
	}

	g.comes(g.server, address(g.c), []byte("fence")) // everything before it has been handled
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	p := make([]byte, 2048)
	if n, from, err := c.ReadFromUDPAddrPort(p); !errors.Is(err, os.ErrDeadlineExceeded) {
		g.t.Errorf("%x from %v, %v", p[:n], from, err)
	}
}

// TestUnusualPacketsReachTheServer: every packet that is out of the ordinary reaches the server's socket unchanged.
func TestUnusualPacketsReachTheServer(t *testing.T) {
	g := newGround(t)
	g.join(g.a, 0x4001, g.b, 0x4777)
	g.meet(g.a, 0x4001, g.b, 0x4777)
	for name, p := range map[string][]byte{
		"another channel":          channelData(0x4002, "data"),
		"more than padding":        append(channelData(0x4001, "data"), 0, 0, 0, 0),
		"a length beyond the end":  channelData(0x4001, "data")[:6],
		"half a header":            {0x40, 1},
		"a byte":                   {0x40},
		"STUN":                     {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"two messages":             append(channelData(0x4001, "data"), channelData(0x4001, "data")...),
		"no channel":               channelData(0x8001, "data"),
		"fragments of a large one": channelData(0x4001, string(make([]byte, 2000))),
	} {
		t.Run(name, func(t *testing.T) {
			g.t = t
			g.send(g.a, p)
			g.comesWhole(g.server, p)
		})
	}

	t.Run("a stranger's", func(t *testing.T) {
		g.t = t
		g.send(g.c, channelData(0x4001, "data"))
		g.comes(g.server, address(g.c), channelData(0x4001, "data"))
	})

	g.t = t
	g.quiet(g.b)
}

func (g *ground) comesWhole(to *net.UDPConn, want []byte) {
	g.t.Helper()
	p := make([]byte, 4096)
	to.SetReadDeadline(time.Now().Add(patience))
	n, _, err := to.ReadFromUDPAddrPort(p)
	if err != nil || !bytes.Equal(p[:n], want) {
		g.t.Errorf("%d bytes, %v; want %d", n, err, len(want))
	}
}

// TestRouteHoldsForOneServerAddress: a route holds only for the server address that it names.
func TestRouteHoldsForOneServerAddress(t *testing.T) {
	g := newGround(t)
	g.join(g.a, 0x4001, g.b, 0x4777)
	g.meet(g.a, 0x4001, g.b, 0x4777)
	err := g.f.SetRoute(Channel{address(g.a), 0x4001}, Route{
		Server:   netip.MustParseAddr("10.9.0.77"),
		Via:      g.at,
		To:       Channel{address(g.b), 0x4777},
		Sender:   g.people[g.a],
		Receiver: g.people[g.b],
	})
	if err != nil {
		t.Fatal(err)
	}
	g.send(g.a, channelData(0x4001, "data"))
	g.comes(g.server, address(g.a), channelData(0x4001, "data"))
}

// TestDeletedRouteGoesBackToTheServer: packets on a channel whose route is deleted go to the server again. Deleting
// twice is no error.
func TestDeletedRouteGoesBackToTheServer(t *testing.T) {
	g := newGround(t)
	g.join(g.a, 0x4001, g.b, 0x4777)
	g.meet(g.a, 0x4001, g.b, 0x4777)
	for range 2 {
		if err := g.f.DeleteRoute(Channel{address(g.a), 0x4001}); err != nil {
			t.Fatal(err)
		}
	}

	g.send(g.a, channelData(0x4001, "data"))
	g.comes(g.server, address(g.a), channelData(0x4001, "data"))
	g.send(g.b, channelData(0x4777, "back")) // the other way still has its route
	g.comes(g.a, netip.AddrPortFrom(g.at, port), channelData(0x4001, "back"))
	if err := g.f.RemoveClient(g.people[g.a]); err != nil {
		t.Fatal(err)
	}
	g.send(g.b, channelData(0x4777, "who?"))
	g.comes(g.server, address(g.b), channelData(0x4777, "who?"))
}

// TestPacketsBeyondALimitAreDropped: packets beyond a limit are dropped and counted, and reach nobody.
func TestPacketsBeyondALimitAreDropped(t *testing.T) {
	g := newGround(t)
	wide, err := g.f.AddTokenBucket(1e9)
	if err != nil {
		t.Fatal(err)
	}
	narrow, err := g.f.AddTokenBucket(Headers + 1) // a byte, and not two
	if err != nil {
		t.Fatal(err)
	}

	g.join(g.a, 0x4001, g.b, 0x4777, wide)
	g.meet(g.a, 0x4001, g.b, 0x4777)
	server := netip.AddrPortFrom(g.at, port)
	for range 50 {
		g.send(g.a, channelData(0x4001, "within its limit"))
		g.comes(g.b, server, channelData(0x4777, "within its limit"))
	}

	g.join(g.a, 0x4001, g.b, 0x4777, wide, narrow)
	g.send(g.a, channelData(0x4001, "beyond"))
	g.send(g.a, channelData(0x4001, "x"))
	g.comes(g.b, server, channelData(0x4777, "x"))
	none, err := g.f.AddTokenBucket(Headers - 1) // not one without payload
	if err != nil {
		t.Fatal(err)
	}

	g.join(g.a, 0x4002, g.b, 0x4778, none)
	g.join(g.a, 0x4003, g.b, 0x4779)
	g.send(g.a, channelData(0x4002, ""))
	g.send(g.a, channelData(0x4003, ""))
	g.comes(g.b, server, channelData(0x4779, ""))
	if n, err := g.f.Counts(); err != nil || n.Limited != 2 {
		t.Errorf("%+v, %v", n, err)
	}
	g.quiet(g.server)
}

// TestRoomIsLimitedAndReused: there is room for as many clients as Config says, and a removed client makes room.
func TestRoomIsLimitedAndReused(t *testing.T) {
	g := newGround(t)
	var last Client
	for range 5 {
		c, err := g.f.AddClient()
		if err != nil {
			t.Fatal(err)
		}
		last = c
	}

	if _, err := g.f.AddClient(); !errors.Is(err, ErrFull) {
		t.Errorf("a ninth client: %v", err)
	}
	if err := g.f.RemoveClient(last); err != nil {
		t.Fatal(err)
	}

	if c, err := g.f.AddClient(); err != nil || c != last {
		t.Errorf("in its place: %d, %v", c, err)
	}
	six := netip.MustParseAddr("2001:db8::1")
	if err := g.f.SetRoute(Channel{address(g.a), 0x4001}, Route{
		Server: g.at,
		Via:    six,
		To:     Channel{address(g.b), 0x4001},
	}); !errors.Is(err, ErrFamily) {
		t.Errorf("a route between families: %v", err)
	}

	if err := g.f.SetRoute(Channel{address(g.a), 0x4001}, Route{
		Server:  g.at,
		Via:     g.at,
		To:      Channel{address(g.b), 0x4001},
		Buckets: make([]TokenBucket, 5),
	}); !errors.Is(err, ErrFull) {
		t.Errorf("five limits: %v", err)
	}
}

// TestInterfaceHasOneProgram: the first program keeps the interface, and what cannot be attached says why.
func TestInterfaceHasOneProgram(t *testing.T) {
	left, _ := natlab.Cable(t)
	err := left.Do(func() error {
		f, err := Attach(Config{Interface: left.Device, Port: port, Clients: 1})
		if err != nil {
			return err
		}
		if _, err := Attach(Config{
			Interface: left.Device,
			Port:      port,
			Clients:   1,
		}); err == nil || errors.Is(err, ErrUnsupported) {
			t.Errorf("a second time: %v", err)
		}

		if _, err := Attach(Config{Interface: "lo", Port: port, Clients: 1}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("to the loopback: %v", err)
		}
		if _, err := Attach(Config{Interface: "nowhere0", Port: port, Clients: 1}); err == nil {
			t.Error("to an interface that is not there")
		}

		if err := f.Close(); err != nil {
			return err
		}
		again, err := Attach(Config{Interface: left.Device, Port: port, Clients: 1})
		if err != nil {
			return err
		}
		return again.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}
