//go:build linux

package natlab

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// An end that holds an IPv6 prefix has each of its addresses.
func TestCableHoldsIPv6(t *testing.T) {
	left, right := Cable(t)
	if err := left.Hold(netip.MustParsePrefix("2001:db8:66::/48"), right); err != nil {
		t.Fatal(err)
	}
	var l net.Listener
	if err := right.Do(func() (err error) {
		l, err = net.Listen("tcp6", netip.AddrPortFrom(right.Addr6, 0).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	const from = "[2001:db8:66:1234::7]:7000"
	var c net.Conn
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), Timeout: 20 * time.Second}
	if err := left.Do(func() (err error) { c, err = dialer.Dial("tcp6", l.Addr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	got, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if got.RemoteAddr().String() != from {
		t.Errorf("from %v, want %s", got.RemoteAddr(), from)
	}
}

// A cable carries packets between all addresses of its ends, and each end receives in its own kernel thread.
func TestCableCarriesPacketsBothWays(t *testing.T) {
	left, right := Cable(t)
	if err := left.Hold(netip.MustParsePrefix("10.64.0.0/16"), right); err != nil {
		t.Fatal(err)
	}
	var a, b net.PacketConn
	listen := func(e *End, c *net.PacketConn, address string) {
		t.Helper()
		if err := e.Do(func() (err error) { *c, err = net.ListenPacket("udp4", address); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*c).Close() })
	}

	listen(left, &a, "10.64.7.9:7000")
	listen(right, &b, right.Addr.String()+":7000")
	before := map[*End]int{left: timeslices(t, left.NAPI), right: timeslices(t, right.NAPI)}
	if _, err := a.WriteTo([]byte("hello"), b.LocalAddr()); err != nil {
		t.Fatal(err)
	}

	p := make([]byte, 100)
	b.SetReadDeadline(time.Now().Add(patience))
	n, from, err := b.ReadFrom(p)
	if err != nil || string(p[:n]) != "hello" || from.String() != "10.64.7.9:7000" {
		t.Fatalf("got %q from %v, %v", p[:n], from, err)
	}
	if _, err := b.WriteTo([]byte("back"), from); err != nil {
		t.Fatal(err)
	}

	a.SetReadDeadline(time.Now().Add(patience))
	if n, _, err = a.ReadFrom(p); err != nil || string(p[:n]) != "back" {
		t.Errorf("got %q back, %v", p[:n], err)
	}
	for _, e := range []*End{left, right} {
		if ran := timeslices(t, e.NAPI) - before[e]; ran == 0 {
			t.Errorf("the thread of %s received nothing", e.Device)
		}
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", e.NAPI))
		if err != nil || !bytes.HasPrefix(comm, []byte("napi/"+e.Device)) {
			t.Errorf("%s receives in thread %d, %q, %v", e.Device, e.NAPI, comm, err)
		}
	}
}

// timeslices returns how often a thread has run.
func timeslices(t *testing.T, tid int) (n int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", tid))
	if err != nil {
		t.Fatal(err)
	}
	var ran, waited int
	if _, err := fmt.Sscan(string(text), &ran, &waited, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
