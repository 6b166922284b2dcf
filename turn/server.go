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

// socketBuffer is asked of the kernel for each direction of the UDP socket, in bytes: a keyframe of every client may
// arrive at once.
const socketBuffer = 4 << 20

// ErrRun is returned by Run when it was called before, or after Close.
var ErrRun = errors.New("server ran already or is closed")

// ErrXDP is returned by New, wrapped in the reason, where Config.XDP asks for what cannot be had.
var ErrXDP = errors.New("no XDP")

// Server is a TURN server.
type Server struct {
	config     Config
	counters   counters
	relay      *relay
	credit     *credit // of addresses that have proved nothing
	sockets    sockets
	transports []*transport
	bindings   *net.UDPConn // answers Binding requests; nil: none
	addresses  Addresses
	closed     chan struct{} // closed by Close

	mu     sync.Mutex
	ran    bool // Run was called, or Close
	ending bool // closed is closed
}

// Addresses are where a server listens.
type Addresses struct {
	UDP, TCP netip.AddrPort
	TLS      netip.AddrPort // zero if there is none
	Binding  netip.AddrPort // the UDP port that answers Binding requests alone; zero if there is none
}

// New binds the sockets and serves nothing: what arrives waits until Run. It returns ErrConfig, ErrXDP, or why a socket could not
// be bound; else the server owns Config.Shared. Close the server if it is never run.
func New(config Config) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s := &Server{config: config.withDefaults(), closed: make(chan struct{})}
	s.relay, s.credit = newRelay(s.config, &s.counters), newCredit(time.Now())
	if err := s.bind(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) bind() error {
	c := &s.config
	udp, err := net.ListenPacket("udp", c.Address)
	if err != nil {
		return fmt.Errorf("listen for UDP: %w", err)
	}
	s.sockets = openSockets(udp.(*net.UDPConn), c, &s.counters)
	if err := s.openKernel(); err != nil {
		return err
	}
	s.addresses.UDP = s.add("udp", newDatagrams(s.sockets, s.relay, c.Realm, s.credit), s.sockets.local())
	tcp, err := net.Listen("tcp", c.Address)
	if err != nil {
		return fmt.Errorf("listen for TCP: %w", err)
	}
	s.addresses.TCP = s.add("tcp", newStreams(tcp, c, nil, s.relay, s.sockets), tcp.Addr())
	if c.BindingAddress != "" {
		if s.bindings, err = listenBindings(c.BindingAddress); err != nil {
			return fmt.Errorf("listen for Binding requests: %w", err)
		}
		s.addresses.Binding = clientOf(s.bindings.LocalAddr())
	}
	if c.TLSAddress != "" {
		secure, err := net.Listen("tcp", c.TLSAddress)
		if err != nil {
			return fmt.Errorf("listen for TLS: %w", err)
		}
		s.addresses.TLS = s.add("tls", newStreams(secure, c, c.TLS, s.relay, s.sockets), secure.Addr())
	}
	if c.Shared != nil {
		s.add("shared", newStreams(c.Shared, c, nil, s.relay, s.sockets), c.Shared.Addr())
	}
	return nil
}

// openKernel has the kernel forward what it can, where that was asked for.
func (s *Server) openKernel() error {
	if s.config.XDP == "" {
		return nil
	}
	at := s.sockets.local().AddrPort()
	f, err := xdp.Attach(xdp.Config{Interface: s.config.XDP, Port: at.Port(), Clients: s.config.MaxAllocations, Logger: s.config.Logger})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrXDP, err)
	}
	var local netip.Addr // of a wildcard address each client's binding says which
	if !at.Addr().IsUnspecified() {
		local = at.Addr()
	}
	s.relay.kernel = newKernel(f, local, s.config.Limits, s.config.Logger)
	s.config.Logger.Info("TURN forwards ChannelData by XDP", "interface", s.config.XDP)
	return nil
}

func (s *Server) add(name string, f front, at net.Addr) netip.AddrPort {
	t := &transport{name: name, config: &s.config, relay: s.relay, counters: &s.counters, front: f}
	t.permit = t.permitted
	s.transports = append(s.transports, t)
	return clientOf(at)
}

// Run serves until ctx ends or Close is called, and returns nil then, with every socket, connection, allocation and
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
		answering.Go(func() { answerBindings(s.bindings, s.credit) })
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
	s.sockets.free() // only now nobody sends any more
	return errors.Join(err, s.relay.closeKernel())
}

// start hands the transport to a pion server, which serves from then on.
func (t *transport) start() error {
	c := t.pionConfig()
	permit := func(client net.Addr, peer net.IP) bool { return t.permit(client, peer) }
	switch f := t.front.(type) {
	case *datagrams:
		c.PacketConnConfigs = []pion.PacketConnConfig{
			{PacketConn: f, RelayAddressGenerator: generator{t.relay, &t.live}, PermissionHandler: permit},
		}
	case *streams:
		c.ListenerConfigs = []pion.ListenerConfig{
			{Listener: f, RelayAddressGenerator: generator{t.relay, &t.live}, PermissionHandler: permit},
		}
	}
	_, err := pion.NewServer(c) // ends when its socket is closed
	if f, ok := t.front.(*datagrams); ok && err == nil {
		go f.serve()
	}
	return err
}

// Close ends Run, which waits for the rest; or frees the sockets of a server that was never run.
func (s *Server) Close() error {
	s.mu.Lock()
	ending, ran := s.ending, s.ran
	s.ran, s.ending = true, true
	s.mu.Unlock()
	if ending {
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

// URLs returns the server as ICE servers spell it (RFC 7065), under the host name or IP that clients reach it by, and for
// TLS under the one that its certificate names. What is shared only its owner can name.
func (s *Server) URLs(host, certified string) []string {
	url := func(scheme, host string, at netip.AddrPort, transport string) string {
		return fmt.Sprintf("%s:%s?transport=%s", scheme, net.JoinHostPort(host, fmt.Sprint(at.Port())), transport)
	}
	urls := []string{url("turn", host, s.addresses.UDP, "udp"), url("turn", host, s.addresses.TCP, "tcp")}
	if s.addresses.TLS.IsValid() {
		urls = append(urls, url("turns", certified, s.addresses.TLS, "tcp"))
	}
	if s.addresses.Binding.IsValid() {
		urls = append(urls, "stun:"+net.JoinHostPort(host, fmt.Sprint(s.addresses.Binding.Port())))
	}
	return urls
}

// Stats returns the server's counters as they are now.
func (s *Server) Stats() Stats {
	n := s.counters.snapshot()
	in := s.relay.inKernel()
	n.Packets, n.Bytes, n.Kernel = n.Packets+in.Packets, n.Bytes+in.Bytes, in.Packets
	n.Drops["rate"] += in.Limited
	return n
}
