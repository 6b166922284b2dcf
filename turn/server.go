package turn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	pion "github.com/pion/turn/v4"

	"github.com/peephole-cam/peephole/turn/xdp"
)

// socketBuffer is what the server asks of the kernel for each direction of the UDP socket, in bytes: a keyframe of
// every client may arrive at once.
const socketBuffer = 4 << 20

// ErrRun is returned by a second Run, and by Run after Close.
var ErrRun = errors.New("server ran already or is closed")

// ErrXDP is returned by New, wrapped in the reason, when Config.XDP asks for what cannot be had.
var ErrXDP = errors.New("no XDP")

// Server is a TURN server.
type Server struct {
	config        Config
	counters      counters
	relay         *relay
	amplification *meter // bytes that may be sent to addresses that have not shown a password
	sockets       sockets
	transports    []*transport
	bindings      *net.UDPConn // the second port, which answers Binding requests; nil: none
	addresses     Addresses
	closed        chan struct{} // closed by Close

	mu      sync.Mutex
	ran     bool // guarded by mu; Run was called, or Close
	closing bool // guarded by mu; Close was called
}

// Addresses are where a server listens, besides Config.Streams.
type Addresses struct {
	UDP     netip.AddrPort
	Binding netip.AddrPort // the UDP port that answers only Binding requests; zero if there is none
}

// New binds the sockets but serves nothing yet: what arrives waits for Run. On success the server owns Config.Streams,
// and must be closed if it is never run. New returns ErrConfig, ErrXDP, or why a socket could not be bound.
func New(config Config) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}

	s := &Server{config: config.withDefaults(), closed: make(chan struct{})}
	s.relay = newRelay(s.config, &s.counters)
	s.amplification = newAmplificationLimit(time.Now())
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// listen binds the sockets and makes a transport of each.
func (s *Server) listen() error {
	c := &s.config
	udp, err := net.ListenPacket("udp", c.Address)
	if err != nil {
		return fmt.Errorf("listen for UDP: %w", err)
	}
	s.sockets = openSockets(udp.(*net.UDPConn), c, &s.counters)
	if err := s.attachKernel(); err != nil {
		return err
	}
	s.addresses.UDP = clientOf(s.sockets.local())
	s.addTransport("udp", newDatagrams(s.sockets, s.relay, c.Realm, s.amplification))

	if c.BindingAddress != "" {
		if s.bindings, err = listenBindings(c.BindingAddress); err != nil {
			return fmt.Errorf("listen for Binding requests: %w", err)
		}
		s.addresses.Binding = clientOf(s.bindings.LocalAddr())
	}

	for i, l := range c.Streams {
		s.addTransport(fmt.Sprintf("stream %d", i), newStreams(l, c, s.relay, s.sockets))
	}
	return nil
}

// attachKernel attaches XDP, if the configuration asks for it.
func (s *Server) attachKernel() error {
	if s.config.XDP == "" {
		return nil
	}

	at := s.sockets.local().AddrPort()
	f, err := xdp.Attach(xdp.Config{
		Interface: s.config.XDP,
		Port:      at.Port(),
		Clients:   s.config.MaxAllocations,
		Logger:    s.config.Logger,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrXDP, err)
	}

	var local netip.Addr // invalid for a wildcard address: each client's binding then names its own
	if !at.Addr().IsUnspecified() {
		local = at.Addr()
	}
	s.relay.kernel = newKernel(f, local, s.config.Limits, s.config.Logger)
	s.config.Logger.Info("TURN forwards ChannelData by XDP", "interface", s.config.XDP)
	return nil
}

func (s *Server) addTransport(name string, f front) {
	t := &transport{
		name:     name,
		config:   &s.config,
		relay:    s.relay,
		counters: &s.counters,
		front:    f,
	}
	t.permit = t.permits
	s.transports = append(s.transports, t)
}

// AnswerBindings answers Binding requests, and nothing else, at a port that the caller has opened, until that is
// closed. The addresses of conn are of type *net.UDPAddr. A client's requests here and at the server's own ports count
// together.
func (s *Server) AnswerBindings(conn net.PacketConn) {
	answerBindings(conn, s.amplification, &s.relay.requests)
}

// Run serves until ctx ends or Close is called, and then returns nil, with every socket, connection, allocation and
// goroutine gone. It returns ErrRun, or why it could not start. A server runs once.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	ran := s.ran
	s.ran = true
	s.mu.Unlock()
	if ran {
		return ErrRun
	}

	var answering sync.WaitGroup
	defer answering.Wait()
	if s.bindings != nil {
		answering.Go(func() { s.AnswerBindings(s.bindings) })
	}

	var started []*transport
	var err error
	for _, t := range s.transports {
		if err = t.start(); err != nil {
			err = fmt.Errorf("start %s server: %w", t.name, err)
			break
		}
		started = append(started, t)
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case <-s.closed:
		}
	}

	err = errors.Join(err, s.Close())
	for _, t := range started {
		t.wait()
	}
	s.sockets.free() // only now does nothing send any more
	return errors.Join(err, s.relay.closeKernel())
}

// start hands the transport to a pion server, which serves from then on.
func (t *transport) start() error {
	addresses := addressGenerator{t.relay, &t.live}
	permit := func(client net.Addr, peer net.IP) bool { return t.permit(client, peer) }

	c := t.pionConfig()
	switch f := t.front.(type) {
	case *datagrams:
		c.PacketConnConfigs = []pion.PacketConnConfig{
			{PacketConn: f, RelayAddressGenerator: addresses, PermissionHandler: permit},
		}
	case *streams:
		c.ListenerConfigs = []pion.ListenerConfig{
			{Listener: f, RelayAddressGenerator: addresses, PermissionHandler: permit},
		}
	}
	_, err := pion.NewServer(c) // ends when its socket is closed

	if f, ok := t.front.(*datagrams); ok && err == nil {
		go f.serve()
	}
	return err
}

// Close makes Run return, which waits for everything to end. It frees the sockets of a server that was never run.
func (s *Server) Close() error {
	s.mu.Lock()
	closing, ran := s.closing, s.ran
	s.ran, s.closing = true, true
	s.mu.Unlock()
	if closing {
		return nil
	}
	close(s.closed)

	var errs []error
	for _, t := range s.transports {
		if err := t.front.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s listener: %w", t.name, err))
		}
	}
	if s.bindings != nil {
		errs = append(errs, s.bindings.Close())
	}
	if !ran && s.sockets != nil {
		s.sockets.free()
		errs = append(errs, s.relay.closeKernel())
	}
	return errors.Join(errs...)
}

// Addresses returns where the server listens.
func (s *Server) Addresses() Addresses { return s.addresses }

// Stats returns the server's counters as they are now.
func (s *Server) Stats() Stats {
	n := s.counters.snapshot()
	in := s.relay.kernelCounts()

	n.Packets += in.Packets
	n.Bytes += in.Bytes
	n.Kernel = in.Packets
	n.Drops["rate"] += in.Limited
	return n
}
