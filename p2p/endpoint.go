package p2p

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/gologshim"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"
)

// libp2p would write to standard error by itself. What matters comes back to us as an error.
func init() { gologshim.SetDefaultHandler(slog.DiscardHandler) }

// maxWindows bounds the memory of windows beyond their initial size, in bytes, for all connections of a camera's or
// viewer's endpoint.
const maxWindows = 16 << 20

// endpoint is a host key, and what can be done with it: QUIC, and TLS with yamux inside a circuit. Its owner must close
// it.
type endpoint struct {
	id        peer.ID
	resources network.ResourceManager
	manager   *quicreuse.ConnManager
	quic      transport.Transport
	circuit   transport.Upgrader

	// bothFamilies makes a socket that listens on all addresses serve IPv4 and IPv6. Set it before listen.
	bothFamilies bool

	mu      sync.Mutex
	sockets []net.PacketConn // guarded by mu
}

// gate decides, at a connection's first packet, whether it is accepted: before anything is computed or kept for it.
type gate interface {
	// admit returns what to call when the connection has ended, and what admittedAs returns for it.
	admit(from netip.Addr) (release func(), value any, err error)

	// pressed reports whether strangers must prove their addresses first.
	pressed() bool

	// size returns how many connections it admits at a time, and the memory that the windows of all of them may have
	// beyond their initial size, in bytes.
	size() (conns int, windows int64)
}

// newEndpoint returns an endpoint that dials. With a gate, it listens instead.
func newEndpoint(key ed25519.PrivateKey, g gate, options ...quicreuse.Option) (*endpoint, error) {
	private, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("use host key: %w", err)
	}
	e := &endpoint{}
	if e.id, err = peer.IDFromPrivateKey(private); err != nil {
		return nil, fmt.Errorf("name host key: %w", err)
	}
	conns, windows := maxDials, int64(maxWindows)
	if g != nil {
		conns, windows = g.size()
	}
	if e.resources, err = newResources(2*conns, windows); err != nil { // some may be ending
		return nil, err
	}

	options = append(options, quicreuse.OverrideListenUDP(e.listenUDP))
	if g != nil {
		options = append(options, quicreuse.ConnContext(asking(g)),
			quicreuse.VerifySourceAddress(func(net.Addr) bool { return g.pressed() }))
	}
	var reset quic.StatelessResetKey
	var token quic.TokenGeneratorKey
	_, _ = rand.Read(reset[:]) // never fails
	_, _ = rand.Read(token[:])
	if e.manager, err = quicreuse.NewConnManager(reset, token, options...); err != nil {
		return nil, errors.Join(fmt.Errorf("set up QUIC: %w", err), e.resources.Close())
	}

	if err := e.setUp(private); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *endpoint) setUp(key crypto.PrivKey) (err error) {
	if e.quic, err = libp2pquic.NewTransport(key, e.manager, nil, nil, e.resources); err != nil {
		return fmt.Errorf("set up QUIC: %w", err)
	}

	muxer := *yamux.DefaultTransport
	muxer.MaxStreamWindowSize = 512 << 10
	muxer.MaxIncomingStreams = 4
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: &muxer}}
	security, err := libp2ptls.New(libp2ptls.ID, key, muxers)
	if err != nil {
		return fmt.Errorf("set up TLS: %w", err)
	}
	e.circuit, err = upgrader.New([]sec.SecureTransport{security}, muxers, nil, e.resources, nil)
	if err != nil {
		return fmt.Errorf("set up circuits: %w", err)
	}

	return nil
}

// newResources returns the bounds of what libp2p may use. Who may have a connection is decided by gates.
func newResources(conns int, windows int64) (network.ResourceManager, error) {
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{Memory: rcmgr.LimitVal64(windows), Conns: rcmgr.LimitVal(conns)},
	}
	unbounded := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 0, ConnCount: conns}}
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)),
		rcmgr.WithMetricsDisabled(), rcmgr.WithLimitPerSubnet(unbounded, unbounded))
	if err != nil {
		return nil, fmt.Errorf("set up resource limits: %w", err)
	}
	return m, nil
}

// admittedKey is the key of a gate's value in a connection's context.
type admittedKey struct{}

// asking asks a gate about every connection.
func asking(g gate) func(context.Context, *quic.ClientInfo) (context.Context, error) {
	return func(ctx context.Context, who *quic.ClientInfo) (context.Context, error) {
		udp, ok := who.RemoteAddr.(*net.UDPAddr)
		if !ok {
			return nil, errOffLink
		}
		release, value, err := g.admit(udp.AddrPort().Addr())
		if err != nil {
			return nil, err
		}

		context.AfterFunc(ctx, release)
		return context.WithValue(ctx, admittedKey{}, value), nil
	}
}

// admittedAs returns the gate's value of an accepted connection.
func admittedAs(c transport.CapableConn) any {
	var q *quic.Conn
	if !c.As(&q) {
		return nil
	}
	return q.Context().Value(admittedKey{})
}

func (e *endpoint) listenUDP(network string, at *net.UDPAddr) (net.PacketConn, error) {
	if e.bothFamilies { // libp2p would open a socket for IPv6 alone
		network, at = "udp", &net.UDPAddr{Port: at.Port}
	}
	conn, err := net.ListenUDP(network, at)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sockets = append(e.sockets, conn)
	return conn, nil
}

// listen listens for QUIC on a port of all addresses of a family.
func (e *endpoint) listen(unspecified netip.Addr, port uint16) (transport.Listener, error) {
	at, err := quicAddress(netip.AddrPortFrom(unspecified, port))
	if err != nil {
		return nil, err
	}
	l, err := e.quic.Listen(at)
	if err != nil {
		return nil, fmt.Errorf("listen for QUIC: %w", err)
	}
	return onceListener{l, sync.OnceValue(l.Close)}, nil
}

// onceListener is a listener that may be closed again, also by several goroutines at once. go-libp2p panics for that.
type onceListener struct {
	transport.Listener
	closing func() error
}

func (l onceListener) Close() error { return l.closing() }

// dial opens a QUIC connection to a host key at an address.
func (e *endpoint) dial(ctx context.Context, to netip.AddrPort, id peer.ID) (transport.CapableConn, error) {
	at, err := quicAddress(to)
	if err != nil {
		return nil, err
	}
	c, err := e.quic.Dial(ctx, at, id)
	if err != nil {
		return nil, fmt.Errorf("dial by QUIC: %w", err)
	}
	return c, nil
}

// close ends everything that the endpoint has.
func (e *endpoint) close() error {
	err := e.manager.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.sockets {
		if closed := s.Close(); !errors.Is(closed, net.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}
	e.sockets = nil
	return errors.Join(err, e.resources.Close())
}

// quicAddress spells an address as libp2p does.
func quicAddress(at netip.AddrPort) (ma.Multiaddr, error) {
	a, err := quicreuse.ToQuicMultiaddr(net.UDPAddrFromAddrPort(at), quic.Version1)
	if err != nil {
		return nil, fmt.Errorf("spell address: %w", err)
	}
	return a, nil
}

// addressOf returns a libp2p address as one of package net. Of what comes after UDP's port it knows nothing.
func addressOf(a ma.Multiaddr) net.Addr {
	if found, err := manet.ToNetAddr(udpPart(a)); err == nil {
		return found
	}
	return &net.UDPAddr{}
}

// udpPart returns what comes up to UDP's port.
func udpPart(a ma.Multiaddr) ma.Multiaddr {
	for i, c := range a {
		if c.Protocol().Code == ma.P_UDP {
			return a[:i+1]
		}
	}
	return a
}
