package punch

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/noleak"
)

func TestMain(m *testing.M) { noleak.Main(m) }

func loopback(t *testing.T) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// reading collects what a Conn's reader, the agent, gets: "TEXT from ADDRESS".
func reading(t *testing.T, c *Conn) (came chan string, ended chan error) {
	t.Helper()
	came, ended = make(chan string, 16), make(chan error, 1)
	var work sync.WaitGroup
	work.Go(func() {
		b := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				ended <- err
				return
			}
			came <- string(b[:n]) + " from " + from.String()
		}
	})

	t.Cleanup(func() {
		c.Close()
		work.Wait()
	})
	return came, ended
}

func next[T any](t *testing.T, from chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return v
}

func send(t *testing.T, from *net.UDPConn, text string, to netip.AddrPort) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort([]byte(text), to); err != nil {
		t.Fatal(err)
	}
}

// TestHoleCarriesOnlyItsPeersPackets: a hole carries packets to and from its peer, and nothing else. The socket itself
// works as before, even for a reader that was waiting when the hole was made.
func TestHoleCarriesOnlyItsPeersPackets(t *testing.T) {
	plain, at := loopback(t)
	second, behind := loopback(t)
	peer, peerAt := loopback(t)
	other, otherAt := loopback(t)
	c := NewSockets().Wrap(plain)
	came, ended := reading(t, c)
	send(t, other, "before", at)
	if got := next(t, came); got != "before from "+otherAt.String() {
		t.Error(got)
	}

	if !c.openHole(second, peerAt) || c.openHole(second, otherAt) {
		t.Fatal("a Conn must take one hole, and no second one")
	}
	send(t, other, "stranger", behind)
	send(t, peer, "by the hole", behind)
	if got := next(t, came); got != "by the hole from "+peerAt.String() {
		t.Error(got)
	}

	send(t, other, "beside it", at)
	if got := next(t, came); got != "beside it from "+otherAt.String() {
		t.Error(got)
	}
	b := make([]byte, 100)
	for _, tt := range []struct {
		to   *net.UDPConn
		at   netip.AddrPort
		from netip.AddrPort
	}{{peer, peerAt, behind}, {other, otherAt, at}} {
		if _, err := c.WriteTo([]byte("out"), net.UDPAddrFromAddrPort(tt.at)); err != nil {
			t.Fatal(err)
		}
		_ = tt.to.SetReadDeadline(time.Now().Add(patience))
		if _, from, err := tt.to.ReadFromUDPAddrPort(b); err != nil || from != tt.from {
			t.Errorf("%v came from %v: %v", tt.at, from, err)
		}
	}

	c.Close()
	next(t, ended)
	if err := second.SetDeadline(time.Time{}); err == nil {
		t.Error("the hole's socket is still open")
	}

	if err := plain.SetDeadline(time.Time{}); err == nil {
		t.Error("the socket is still open")
	}
	if late, lateAt := loopback(t); c.openHole(late, lateAt) {
		t.Error("a closed Conn took a hole")
	}
}

// TestProbesAreHiddenFromTheAgent: the agent never sees a probe, and probes that come while no run is under way are
// dropped.
func TestProbesAreHiddenFromTheAgent(t *testing.T) {
	plain, at := loopback(t)
	peer, peerAt := loopback(t)
	c := NewSockets().Wrap(plain)
	agent, _ := reading(t, c)
	packet := string(appendPacket(probe, Token{1}))
	send(t, peer, packet, at)
	send(t, peer, "first", at)
	if got := next(t, agent); got != "first from "+peerAt.String() {
		t.Errorf("%q", got)
	}

	run := make(chan arrival, 1)
	c.listen(run)
	for range 3 { // more than the run has room for
		send(t, peer, packet, at)
	}

	if got := next(t, run); got.from != peerAt || string(got.packet) != packet {
		t.Errorf("%+v", got)
	}
	send(t, peer, "second", at)
	if got := next(t, agent); got != "second from "+peerAt.String() {
		t.Errorf("%q", got)
	}
}
