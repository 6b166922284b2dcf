package p2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
)

// Config configures a Listener.
type Config struct {
	// Key is the host key of the day.
	Key ed25519.PrivateKey

	// LAN listens on the LAN, on a random port, and lets Run announce it there.
	LAN bool

	// Relays are the circuit relays through which Run makes the camera reachable. CheckRelay says what one looks like.
	Relays []string

	// OnSeen is called with the IP address by which a relay sees this machine, and with the zero Addr when that relay
	// is gone. Relays that do not say (ours do not) are left out. Several goroutines may call it; nil: not called.
	OnSeen func(relay string, as netip.Addr)

	Logger *slog.Logger // nil: nothing is logged
}

// Listener accepts the connections of viewers to one host key, on the LAN and through circuit relays. It is a
// net.Listener, whose connections are of type *Conn.
type Listener struct {
	cfg       Config
	relays    []relayAddress
	admission *admission
	lan       *endpoint // nil without LAN
	listening []transport.Listener
	port      uint16

	conns   chan *Conn
	open    context.Context // ends when the listener closes
	end     context.CancelFunc
	workers sync.WaitGroup
	closing func() error // closes everything

	mu     sync.Mutex
	closed bool           // guarded by mu; set before served is waited for
	served sync.WaitGroup // connections that have not been closed
}

// Listen opens a listener. On the LAN it can be reached from now on; Run must be running for it to be found, and to be
// reached through relays. The caller must close it.
func Listen(cfg Config) (*Listener, error) {
	if len(cfg.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("open p2p listener: the host key is no Ed25519 key")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OnSeen == nil {
		cfg.OnSeen = func(string, netip.Addr) {}
	}
	relays, err := parseRelays(cfg.Relays)
	if err != nil {
		return nil, fmt.Errorf("open p2p listener: %w", err)
	}

	l := &Listener{
		cfg:       cfg,
		relays:    relays,
		admission: newAdmission(),
		conns:     make(chan *Conn),
	}
	l.open, l.end = context.WithCancel(context.Background())
	l.closing = sync.OnceValue(l.close)
	if cfg.LAN {
		if err := l.listenLAN(); err != nil {
			return nil, errors.Join(fmt.Errorf("open p2p listener: %w", err), l.Close())
		}
	}

	return l, nil
}

// listenLAN listens by IPv4 and IPv6 on one random port, since an announcement has only one. It makes do with one of
// them where there is only one.
func (l *Listener) listenLAN() (err error) {
	sleepy := quicreuse.DisableReuseport() // whose goroutines would wake an idle camera
	if l.lan, err = newEndpoint(l.cfg.Key, &linkGate{links{}, l.admission}, sleepy); err != nil {
		return err
	}

	var failed error
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		listening, err := l.lan.listen(family, l.port)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		l.listening = append(l.listening, listening)
		l.port = uint16(listening.Addr().(*net.UDPAddr).Port)
	}
	if len(l.listening) == 0 {
		return failed
	}

	for _, listening := range l.listening {
		l.workers.Go(func() { l.acceptLAN(listening) })
	}
	return nil
}

// acceptLAN serves what comes on the LAN until the listener closes.
func (l *Listener) acceptLAN(from transport.Listener) {
	for {
		c, err := from.Accept()
		if err != nil {
			return
		}
		s, ok := admittedAs(c).(*slot)
		if !ok {
			_ = c.Close()
			continue
		}
		l.workers.Go(func() {
			l.serve(l.open, &Conn{
				conn:    c,
				remote:  addressOf(c.RemoteMultiaddr()),
				carrier: CarrierLAN,
				slot:    s,
				free:    s.release,
			})
		})
	}
}

// serve waits for the one stream of a connection, and hands it to Accept. The slot's deadline ends it, wherever it is,
// and so does ctx.
func (l *Listener) serve(ctx context.Context, c *Conn) {
	c.camera, c.caller, c.ended = c.conn.LocalPeer(), c.conn.RemotePeer(), make(chan struct{})
	if !l.closeWhenDropped(c) {
		_ = c.conn.Close()
		c.free()
		return
	}

	stream, err := acceptStream(c.conn, signalingProtocol)
	if err != nil {
		l.cfg.Logger.Debug("a connection spoke no signaling", "carrier", c.carrier, "error", err)
		_ = c.conn.Close()
		c.free()
		return
	}
	c.stream = stream

	select {
	case l.conns <- c:
	case <-c.slot.dropped.Done():
		c.end()
	case <-ctx.Done():
		c.end()
	}
}

// closeWhenDropped closes a connection when it loses its slot, and reports whether the listener is open.
func (l *Listener) closeWhenDropped(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}

	l.served.Add(1)
	keep := context.AfterFunc(c.slot.dropped, func() {
		defer l.served.Done()
		_ = c.conn.Close()
	})
	free := c.free
	c.free = func() {
		if keep() {
			l.served.Done()
		}
		free()
	}
	return true
}

// Accept returns the next connection, a *Conn. After Close it returns net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.open.Done():
		return nil, fmt.Errorf("accept: %w", net.ErrClosed)
	}
}

// Addr returns the address that the listener has on the LAN; its port is 0 without one.
func (l *Listener) Addr() net.Addr { return &net.UDPAddr{IP: net.IPv4zero, Port: int(l.port)} }

// Run announces the listener on the LAN and keeps it reachable through its relays, until ctx ends or the listener
// closes.
func (l *Listener) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.open, cancel)()
	var running sync.WaitGroup
	if l.lan != nil {
		a := &announcer{labelOf(l.cfg.Key.Public().(ed25519.PublicKey)), l.port, l.cfg.Logger}
		running.Go(func() { a.run(ctx) })
	}
	for _, r := range l.relays {
		running.Go(func() { l.keepReservation(ctx, r) })
	}

	<-ctx.Done()
	running.Wait()
	if l.open.Err() != nil {
		return fmt.Errorf("run p2p listener: %w", net.ErrClosed)
	}
	return context.Cause(ctx)
}

// Close ends the listener and its connections, and waits until it has. It may be called again.
func (l *Listener) Close() error { return l.closing() }

func (l *Listener) close() error {
	l.end()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.admission.close()
	l.served.Wait() // a socket that closes first would end connections without a word to the other end
	var err error
	for _, listening := range l.listening {
		err = errors.Join(err, listening.Close())
	}

	l.workers.Wait()
	if l.lan != nil {
		err = errors.Join(err, l.lan.close())
	}
	return err
}
