package relay

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// pipes is a listener whose connections a test makes.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return fakeAddr("pipes") }

// from is a connection that comes from an address.
type from struct {
	net.Conn
	address string
}

func (c from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.address))
}

// A connection that sends nothing, or too little for a handshake, is closed in time.
func TestSilentConnectionIsClosedInTime(t *testing.T) {
	for name, tt := range map[string]struct {
		tls  bool
		word string // what the client sends; it is never enough
		why  refusal
	}{
		"nothing":                      {false, "", refusedSilent},
		"nothing, to TLS":              {true, "", refusedHandshake},
		"a handshake that stops short": {true, "\x16\x03\x01", refusedHandshake},
		"half a PROXY header":          {false, "PROXY TCP4 192.0", refusedProxy},
		"a PROXY header alone":         {false, "PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n", refusedSilent},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				places := newPlaces(1<<16, &Config{TrustedProxies: testNetworks, ProxyHeader: PROXYProtocol})
				d := newDoor("listen", make(pipes), places, slog.New(slog.DiscardHandler))
				var secure *tls.Config
				if tt.tls {
					secure = new(tls.Config)
				}
				d.serveBoth(secure)

				peer := "192.0.2.7:1000"
				if strings.HasPrefix(tt.word, "PROXY") {
					peer = "10.0.0.1:1000"
				}

				near, far := net.Pipe()
				defer near.Close()
				var receiving sync.WaitGroup
				d.accept(t.Context(), from{far, peer}, &receiving)
				go near.Write([]byte(tt.word))
				began := time.Now()
				if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(began) != helloWait {
					t.Errorf("closed after %v: %v", time.Since(began), err)
				}

				receiving.Wait()
				for why, n := range d.refused {
					if (n.Load() == 1) != (why == tt.why) {
						t.Errorf("%d connections were refused for %s", n.Load(), why)
					}
				}

				if n := places.strangers.Used(); n != 0 {
					t.Errorf("%d places are still taken", n)
				}
			})
		})
	}
}
