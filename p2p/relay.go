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
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"

	"github.com/peephole-cam/peephole/netlimit"
)

// The limits of a Relay are made for signaling: a session takes some tens of kilobytes, pictures never come this way.
const (
	// circuitLife and circuitBytes, for each way, end a circuit. Ends that still need one make another.
	circuitLife  = 30 * time.Minute
	circuitBytes = 2 << 20

	// reservationTTL is how long a camera may be reached without renewing its reservation.
	reservationTTL = time.Hour

	// maxRelayConns bounds the connections, and thereby the reservations; maxRelayConnsPerAddress those from one IPv4
	// address, or one IPv6 /64. Many households may share an address.
	maxRelayConns, maxRelayConnsPerAddress = 4096, 128

	// maxRelayWindows bounds the memory of windows beyond their initial size, in bytes, for all connections.
	maxRelayWindows = 128 << 20

	// maxCircuitsTo and maxCircuitsFrom bound the circuits of one connection.
	maxCircuitsTo, maxCircuitsFrom = 16, 4

	// carryBuffer is how much is carried at once, each way.
	carryBuffer = 4 << 10

	// maxRequests bounds the requests of one connection that are being answered.
	maxRequests = 16

	// idleLife is how long a connection may be without a reservation and a circuit.
	idleLife = 15 * time.Second

	// Handshakes and circuits that are begun, weighed over relayWindow.
	relayHandshakes, relayCircuits, relayWindow = 1024, 1024, 4 * time.Second
)

// RelayConfig configures a Relay.
type RelayConfig struct {
	// Address is where to listen for QUIC: an IP address and a UDP port. The unspecified address of IPv6 stands for
	// all addresses of both families.
	Address netip.AddrPort

	// Key is the relay's host key. Its name is part of the address that cameras and viewers know, so it must be kept.
	Key ed25519.PrivateKey

	Logger *slog.Logger // nil: nothing is logged
}

// Relay is a circuit relay (libp2p's circuit relay v2) over QUIC. It connects two ends that both ask for it, never
// dials anybody and sees only ciphertext. The limits are constants of this package; within them, it serves everybody.
type Relay struct {
	log       *slog.Logger
	endpoint  *endpoint
	listening transport.Listener
	other     net.PacketConn
	gate      *relayGate
	circuits  *netlimit.Rate
	closing   func() error // closes everything

	circuitsNow, circuitsTotal, refused atomic.Int64

	mu       sync.Mutex
	reserved map[peer.ID]*relayed // guarded by mu
}

// RelayStats counts what a relay has, and what it has done.
type RelayStats struct {
	Connections, Reservations, Circuits int64 // now
	CircuitsTotal                       int64 // since the start
	Refused                             int64 // circuits that a limit refused
}

// Stats returns the relay's counters as they are now.
func (r *Relay) Stats() RelayStats {
	r.mu.Lock()
	reservations := int64(len(r.reserved))
	r.mu.Unlock()
	return RelayStats{
		Connections:   r.gate.conns.Used(),
		Reservations:  reservations,
		Circuits:      r.circuitsNow.Load(),
		CircuitsTotal: r.circuitsTotal.Load(),
		Refused:       r.refused.Load(),
	}
}

// ListenRelay opens a relay. Run serves; the caller must close it.
func ListenRelay(cfg RelayConfig) (*Relay, error) {
	if len(cfg.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("open circuit relay: the host key is no Ed25519 key")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}

	share := netlimit.Share{Max: maxRelayConnsPerAddress}
	r := &Relay{
		log: cfg.Logger,
		gate: &relayGate{
			conns: netlimit.NewPool(netlimit.Config{Size: maxRelayConns, IPv4: share, Host: share}),
			rate:  netlimit.NewRate(netlimit.Config{Size: relayHandshakes}, relayWindow),
		},
		circuits: netlimit.NewRate(netlimit.Config{Size: relayCircuits}, relayWindow),
		reserved: make(map[peer.ID]*relayed),
	}

	var err error
	if r.endpoint, err = newEndpoint(cfg.Key, r.gate); err != nil {
		return nil, fmt.Errorf("open circuit relay: %w", err)
	}
	r.endpoint.bothFamilies = cfg.Address.Addr() == netip.IPv6Unspecified()
	if r.listening, err = r.endpoint.listen(cfg.Address.Addr(), cfg.Address.Port()); err != nil {
		return nil, errors.Join(fmt.Errorf("open circuit relay: %w", err), r.endpoint.close())
	}
	if r.other, err = r.endpoint.notQUIC(r.listening); err != nil {
		err = fmt.Errorf("open circuit relay: %w", err)
		return nil, errors.Join(err, r.listening.Close(), r.endpoint.close())
	}

	r.closing = sync.OnceValue(func() error {
		return errors.Join(r.other.Close(), r.listening.Close(), r.endpoint.close())
	})
	return r, nil
}

// NotQUIC returns the packets at the relay's port that are not QUIC, such as those of STUN. No limit of the relay holds
// for them. Reading returns net.ErrClosed once the relay is closed.
func (r *Relay) NotQUIC() net.PacketConn { return r.other }

// Addr returns the UDP address that the relay listens on.
func (r *Relay) Addr() netip.AddrPort {
	at := r.listening.Addr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// AddressAt returns the relay's multiaddr at a host, by its name or its IP address.
func (r *Relay) AddressAt(host string) string {
	return spellRelay(host, r.Addr().Port(), r.endpoint.id)
}

// Run serves until ctx ends or the relay is closed. Then it ends all connections and closes the relay, whose port is
// free when Run returns.
func (r *Relay) Run(ctx context.Context) error {
	defer r.Close()
	ctx, cancel := context.WithCancel(ctx)
	var serving, accepting sync.WaitGroup
	accepted := make(chan transport.CapableConn)
	accepting.Go(func() { r.accept(ctx, accepted) })
	defer accepting.Wait()
	defer func() { _ = r.listening.Close() }() // after the connections, which would end without a word to the other end
	defer serving.Wait()
	defer cancel()

	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case conn, ok := <-accepted:
			if !ok {
				return fmt.Errorf("run circuit relay: %w", net.ErrClosed)
			}
			serving.Go(func() { r.serve(ctx, conn) })
		}
	}
}

// accept accepts connections until the listener closes. Those that come once ctx has ended it closes.
func (r *Relay) accept(ctx context.Context, to chan<- transport.CapableConn) {
	defer close(to)
	for {
		conn, err := r.listening.Accept()
		if err != nil {
			return
		}
		select {
		case to <- conn:
		case <-ctx.Done():
			_ = conn.Close()
		}
	}
}

// Close ends the relay. It may be called again.
func (r *Relay) Close() error { return r.closing() }

// relayGate decides whose QUIC connections a relay accepts.
type relayGate struct {
	conns *netlimit.Pool
	rate  *netlimit.Rate
}

func (g *relayGate) admit(from netip.Addr) (release func(), value any, err error) {
	who := netlimit.PayerOf(from)
	if err := g.rate.Charge(who, 1, time.Now()); err != nil {
		return nil, nil, err
	}
	lease, err := g.conns.Acquire(who, 1)
	if err != nil {
		return nil, nil, err
	}
	return lease.Release, who, nil
}

func (g *relayGate) size() (conns int, windows int64) { return maxRelayConns, maxRelayWindows }

func (g *relayGate) pressed() bool { return g.conns.Used() > maxRelayConns/4 }
