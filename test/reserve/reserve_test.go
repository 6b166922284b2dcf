//go:build unix

package reserve

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

const patience = time.Minute

// A reserved port refuses connections, accepts them while a server listens, as often as one likes, and refuses again in
// between; and no second server may listen beside.
func TestReservedTCPPortCanBeHadAgainAndAgain(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		p, err := TCP(host)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if c, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("nobody listens at %s: %v, %v", p.Addr(), c, err)
			}
			l, err := net.Listen("tcp", p.Addr())
			if err != nil {
				t.Fatal(err)
			}

			c, err := net.Dial("tcp", p.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if beside, err := net.Listen("tcp", p.Addr()); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("a second server: %v, %v", beside, err)
			}

			served, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			served.Close()
			c.Close()
			l.Close()
		}

		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The same for UDP: packets go to the socket that listens, and are refused while none does.
func TestReservedUDPPortCanBeHadAgainAndAgain(t *testing.T) {
	p, err := UDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 3 {
		c, err := net.Dial("udp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()

		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 100)
		if _, err := c.Write([]byte("is there anybody?")); err != nil {
			t.Fatal(err)
		}

		if n, err := c.Read(answer); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %q, %v", answer[:n], err)
		}

		l, err := ListenUDP(p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("and now?")); err != nil {
			t.Fatal(err)
		}
		if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}

		if n, _, err := l.ReadFrom(answer); err != nil || string(answer[:n]) != "and now?" {
			t.Errorf("%q, %v", answer[:n], err)
		}
		l.Close()
	}
}
