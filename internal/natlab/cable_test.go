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

// A cable carries packets between all addresses of its ends, in kernel threads that are there.
func TestCable(t *testing.T) {
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
	b.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, from, err := b.ReadFrom(p)
	if err != nil || string(p[:n]) != "hello" || from.String() != "10.64.7.9:7000" {
		t.Fatalf("got %q from %v, %v", p[:n], from, err)
	}
	if _, err := b.WriteTo([]byte("back"), from); err != nil {
		t.Fatal(err)
	}
	a.SetReadDeadline(time.Now().Add(20 * time.Second))
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

// timeslices is how often a thread has run.
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
