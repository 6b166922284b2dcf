package turn

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/noleak"
	"github.com/peephole-cam/peephole/test/selfsigned"
)

func TestMain(m *testing.M) { noleak.Main(m) }

const patience = time.Minute // ends what hangs

// secret returns a new random secret.
func secret() []byte {
	b := make([]byte, MinSecret)
	rand.Read(b)
	return b
}

func newKeys(t testing.TB) *Keys {
	t.Helper()
	k, err := NewKeys(secret(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func grant(t testing.TB, k *Keys) Grant {
	t.Helper()
	g, err := k.Grant("", time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// ground is where a server and its clients are. Each function calls open there, which opens the sockets.
type ground struct {
	server, clients func(open func() error) error
}

// grounds are the grounds other than plain loopback, by server. settle makes one if the tests should not run over
// loopback.
var (
	grounds sync.Map // of *Server
	settle  = func(testing.TB, *Config) *ground { return nil }
)

// serve runs a server until the test ends: on loopback, unless settle returns another ground. It fills in what tests
// need where c is zero.
func serve(t testing.TB, c Config, prepare ...func(*Server)) *Server {
	t.Helper()
	if c.Keys == nil {
		c.Keys = newKeys(t)
	}
	g := settle(t, &c)
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}

	var s *Server
	open := func() (err error) {
		if c.Streams == nil {
			c.Streams = listenStreams(t, c.Address)
		}
		s, err = New(c)
		return err
	}

	if g != nil {
		inside := open
		open = func() error { return g.server(inside) }
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}

	if g != nil {
		grounds.Store(s, g)
		t.Cleanup(func() { grounds.Delete(s) })
	}
	for _, f := range prepare {
		f(s)
	}

	run(t, s)
	return s
}

// listenStreams listens for TCP and for TLS at the host of an address.
func listenStreams(t testing.TB, address string) []net.Listener {
	t.Helper()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	var both [2]net.Listener
	for i := range both {
		if both[i], err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			t.Fatal(err)
		}
	}

	secure := &tls.Config{Certificates: []tls.Certificate{selfsigned.New(t, "relay.example")}}
	return []net.Listener{both[0], tls.NewListener(both[1], secure)}
}

// tcpOf and tlsOf return where a server that serve runs listens.
func tcpOf(s *Server) netip.AddrPort { return clientOf(s.config.Streams[0].Addr()) }
func tlsOf(s *Server) netip.AddrPort { return clientOf(s.config.Streams[1].Addr()) }

// run runs a server until the test ends, and then checks that nothing is left of it.
func run(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ran:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}

		if n := s.Stats(); n.Allocations != 0 || n.Sessions != 0 || n.Connections != 0 || addressesInUse(s) != 0 {
			t.Errorf("left behind: %+v", n)
		}
	})
}

// addressesInUse returns how many relayed addresses are in use.
func addressesInUse(s *Server) int {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	return len(s.relay.addresses)
}

// sink returns a real UDP socket on loopback, for packets that should not be sent.
func sink(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// untouched fails if a packet has reached the socket. The socket sends itself one, which must arrive first: loopback
// keeps the order.
func untouched(t *testing.T, c *net.UDPConn) {
	t.Helper()
	if _, err := c.WriteTo([]byte("own"), c.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	p := make([]byte, 100)
	n, from, err := c.ReadFrom(p)
	if err != nil || string(p[:n]) != "own" {
		t.Errorf("a packet got out: %q from %v, %v", p[:n], from, err)
	}
}
