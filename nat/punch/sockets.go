package punch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/nat"
)

var (
	// ErrSilent is returned when no STUN server answers, so that nothing is known about this end's NAT.
	ErrSilent = errors.New("no answer from a STUN server")
	// ErrNoHole is returned when a run ends without a hole.
	ErrNoHole = errors.New("no hole was found")
	// ErrBusy is returned while this process takes part in as many runs in that role as it may.
	ErrBusy = errors.New("too many runs")
)

// Sockets keeps track of the sockets of one ICE agent.
type Sockets struct {
	listen func(local netip.Addr) (*net.UDPConn, error) // on any free port

	mu    sync.Mutex
	conns []*Conn // guarded by mu
}

// NewSockets returns an empty set of sockets.
func NewSockets() *Sockets {
	return &Sockets{listen: func(local netip.Addr) (*net.UDPConn, error) {
		return net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	}}
}

// maxConns bounds how many of an agent's sockets are considered for punching.
const maxConns = 16

// Wrap wraps one of the agent's sockets. Over IPv6 there is nothing to punch, so such a socket is only passed through,
// as is one that is not bound to an interface's address.
func (s *Sockets) Wrap(conn *net.UDPConn) *Conn {
	c := &Conn{
		UDPConn: conn,
		sockets: s,
		closed:  make(chan struct{}),
		waiting: make(map[[stun.TransactionIDSize]byte]chan netip.AddrPort),
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if a := c.LocalAddrPort().Addr(); a.Is4() && a.IsGlobalUnicast() && len(s.conns) < maxConns {
		s.conns = append(s.conns, c)
	}

	return c
}

func (s *Sockets) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = slices.DeleteFunc(s.conns, func(o *Conn) bool { return o == c })
}

func (s *Sockets) all() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.conns)
}

// Way is one of the sockets with what was learned about the NAT in front of it.
type Way struct {
	Side Side
	conn *Conn
}

// Measure asks STUN servers, at least two, about each socket in turn until one gets an answer. If the NAT is symmetric,
// it makes some more mappings from sockets of its own to see how they are numbered.
func (s *Sockets) Measure(ctx context.Context, servers []netip.AddrPort) (Way, error) {
	if len(servers) < 2 {
		return Way{}, fmt.Errorf("measure NAT: %w", ErrSilent)
	}

	for _, c := range s.all() {
		first, ok := c.bind(ctx, servers[0])
		if !ok {
			continue
		}
		second, ok := c.bind(ctx, servers[1])
		if !ok {
			continue
		}

		if first == second {
			return Way{Side{At: first, Ports: Steady}, c}, nil
		}
		side, err := c.count(ctx, servers)
		return Way{side, c}, err
	}

	return Way{}, fmt.Errorf("measure NAT: %w", ErrSilent)
}

// counted is how many new mappings a measurement makes. Random ports look counted up by chance once in 10^10.
const counted = 4

// count makes mappings one after the other and concludes how the NAT numbers them.
func (c *Conn) count(ctx context.Context, servers []netip.AddrPort) (Side, error) {
	var ports []uint16
	var last netip.AddrPort
	for len(ports) < counted {
		conn, err := c.sockets.listen(c.LocalAddrPort().Addr())
		if err != nil {
			return Side{}, fmt.Errorf("measure NAT: %w", err)
		}

		s := nat.NewSocket(conn)
		for _, server := range servers[:2] {
			b, err := s.Bind(ctx, server)
			if err != nil {
				s.Close()
				return Side{}, fmt.Errorf("measure NAT: %w", err)
			}
			last = b.Mapped
			ports = append(ports, last.Port())
		}
		s.Close()
	}

	p, stride := numbering(ports)
	return Side{At: last, Ports: p, Stride: stride}, nil
}

// bindAgain holds the pauses after each transmission of a Binding request.
var bindAgain = []time.Duration{
	200 * time.Millisecond,
	400 * time.Millisecond,
	800 * time.Millisecond,
	600 * time.Millisecond,
}

// bind asks a server how it sees the socket. The agent reads the socket; [Conn.bound] picks the answer out.
func (c *Conn) bind(ctx context.Context, server netip.AddrPort) (netip.AddrPort, bool) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return netip.AddrPort{}, false
	}

	got := make(chan netip.AddrPort, 1)
	c.mu.Lock()
	c.waiting[request.TransactionID] = got
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, request.TransactionID)
	}()

	for _, pause := range bindAgain {
		_, _ = c.WriteToAddrPort(request.Raw, server) // if it is lost, the next one follows

		timer := time.NewTimer(pause)
		select {
		case mapped := <-got:
			timer.Stop()
			return mapped, true
		case <-timer.C:
		case <-c.closed:
			timer.Stop()
			return netip.AddrPort{}, false
		case <-ctx.Done():
			timer.Stop()
			return netip.AddrPort{}, false
		}
	}

	return netip.AddrPort{}, false
}
