package nat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v3"
)

// retryAfter holds the pauses after each transmission of a request, since one lost packet proves nothing. The last one
// is how long the last transmission may take.
var retryAfter = []time.Duration{
	200 * time.Millisecond,
	400 * time.Millisecond,
	800 * time.Millisecond,
	600 * time.Millisecond,
}

// ErrSilent is returned when nothing answers.
var ErrSilent = errors.New("no answer")

// Binding is what one STUN server answered.
type Binding struct {
	Server netip.AddrPort
	Mapped netip.AddrPort // the socket's address as the server sees it
	Took   time.Duration  // since the request was last sent
}

// Socket is one local UDP port. Its methods are safe for concurrent use.
type Socket struct {
	conn    *net.UDPConn
	reading sync.WaitGroup

	mu      sync.Mutex
	waiting map[[stun.TransactionIDSize]byte]chan arrival // guarded by mu
}

// arrival is a STUN message that a goroutine waits for.
type arrival struct {
	at      *Socket
	message *stun.Message
	from    netip.AddrPort
	took    time.Duration // since the request was last sent
}

// Listen opens a socket; the network is "udp4" or "udp6". The caller must close it.
func Listen(network string) (*Socket, error) {
	conn, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, fmt.Errorf("open UDP socket: %w", err)
	}
	return NewSocket(conn), nil
}

// NewSocket takes over an open connection, and closes it in [Socket.Close].
func NewSocket(conn *net.UDPConn) *Socket {
	s := &Socket{conn: conn, waiting: make(map[[stun.TransactionIDSize]byte]chan arrival)}
	s.reading.Go(s.read)
	return s
}

// Close closes the socket; whatever waits for an answer gets none.
func (s *Socket) Close() error {
	err := s.conn.Close()
	s.reading.Wait()
	return err
}

// Port returns the local port.
func (s *Socket) Port() uint16 { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

func (s *Socket) read() {
	p := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(p)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as an ICMP port unreachable for an earlier packet
			continue
		}

		m := &stun.Message{Raw: append([]byte(nil), p[:n]...)}
		if m.Decode() != nil {
			continue
		}

		s.mu.Lock()
		if got := s.waiting[m.TransactionID]; got != nil {
			select {
			case got <- arrival{at: s, message: m, from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}:
			default: // a duplicate
			}
		}
		s.mu.Unlock()
	}
}

// expect sends the first message of a transaction to got, until stop is called.
func (s *Socket) expect(id [stun.TransactionIDSize]byte, got chan arrival) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[id] = got

	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, id)
	}
}

// exchange sends a request from this socket, with retransmissions, until a message of its transaction arrives at this
// socket or at the other one. It returns ErrSilent if none does.
func (s *Socket) exchange(ctx context.Context, request *stun.Message, to netip.AddrPort,
	other *Socket) (arrival, error) {
	got := make(chan arrival, 1)
	for _, at := range []*Socket{s, other} {
		defer at.expect(request.TransactionID, got)()
	}

	var last error
	for _, pause := range retryAfter {
		if ctx.Err() != nil { // select could still prefer an answer
			return arrival{}, ctx.Err()
		}

		sent := time.Now()
		if _, err := s.conn.WriteToUDPAddrPort(request.Raw, to); err != nil {
			last = err
		}
		timer := time.NewTimer(pause)
		select {
		case a := <-got:
			timer.Stop()
			a.took = time.Since(sent)
			return a, nil
		case <-ctx.Done():
			timer.Stop()
			return arrival{}, ctx.Err()
		case <-timer.C:
		}
	}

	return arrival{}, errors.Join(ErrSilent, last)
}

// Bind asks a STUN server how it sees the socket. It returns ErrSilent or ctx's error.
func (s *Socket) Bind(ctx context.Context, server netip.AddrPort) (Binding, error) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return Binding{}, fmt.Errorf("build Binding request: %w", err)
	}

	a, err := s.exchange(ctx, request, server, s)
	if err != nil {
		return Binding{}, fmt.Errorf("ask STUN server: %w", err)
	}

	var mapped stun.XORMappedAddress
	err = mapped.GetFrom(a.message)
	ip, ok := netip.AddrFromSlice(mapped.IP)
	if err != nil || !ok || a.message.Type != stun.BindingSuccess || a.from != server {
		return Binding{}, fmt.Errorf("ask STUN server: %w", ErrSilent)
	}
	return Binding{Server: server, Mapped: netip.AddrPortFrom(ip.Unmap(), uint16(mapped.Port)), Took: a.took}, nil
}

// Bindings asks several servers at once and returns the answers that came, in the servers' order.
func (s *Socket) Bindings(ctx context.Context, servers []netip.AddrPort) []Binding {
	answers := make([]Binding, len(servers))
	var asking sync.WaitGroup
	for i, server := range servers {
		asking.Go(func() {
			if b, err := s.Bind(ctx, server); err == nil {
				answers[i] = b
			}
		})
	}

	asking.Wait()

	var got []Binding
	for _, b := range answers {
		if b.Mapped.IsValid() {
			got = append(got, b)
		}
	}

	return got
}
