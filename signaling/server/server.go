// Package server is the relay's signaling endpoint (doc/protocol.md, section 5): mailboxes that certify
// themselves, limits, and the granting of ICE servers.
//
// It stores and routes opaque bodies and keeps no table of who owns what: a mailbox exists because somebody with its
// keys is or was connected, or because a message waits in it. Messages are in memory: a restart loses what was
// not delivered, and both ends send again. Delivered twice, late, or to the wrong mailbox, a body is of no use to
// anybody; that is not for this package to ensure. It must never log a name or a body above debug.
package server

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// Granter makes both ends' credentials for one session on the relay's TURN server.
type Granter interface {
	// Grant is for a session that payer is charged for: whose limits bind it, "" for nobody's.
	Grant(payer string, now time.Time) (signaling.Grant, error)
}

// Config is what an endpoint needs.
type Config struct {
	PublicURL string            // the relay URL that clients dial and sign
	TicketKey ed25519.PublicKey // who opens a mailbox must have a ticket of this key; nil: everyone is admitted
	Granter   Granter           // nil: no ICE servers
	Bus       bus.Bus
	Node      string   // names this node to its operator, see CheckNode; "": "relay"
	Peers     []string // the other nodes of the bus
	MaxBytes  int64    // of stored messages in all; 0: 1 GiB
	Logger    *slog.Logger
}

// Stats counts since the start; Connections, Mailboxes and StoredBytes are of now.
type Stats struct {
	Connections, Mailboxes, StoredBytes                     atomic.Int64
	Opened, Posted, Delivered, Acked, Granted, Expired      atomic.Int64
	BadFrames, BadSignatures, Refused, SlowReaders, TooMany atomic.Int64

	// Rejected counts deliveries of this node that their receivers could not open, by the node where they were posted: this one, one
	// of the Peers, or OtherNode. The map does not change.
	Rejected       map[string]*atomic.Int64
	RejectsIgnored atomic.Int64 // of nothing that was delivered, said again, or too many from one address
}

// Server is the endpoint. It implements http.Handler.
type Server struct {
	cfg   Config
	store *store
	Stats Stats

	mu       sync.Mutex
	perAddr  map[netip.Addr]*usage // guarded by mu
	serving  bool                  // guarded by mu; Run was called
	stopping bool                  // guarded by mu; Run has ended
	conns    sync.WaitGroup
	stop     context.Context // ends when Run does
	cancel   context.CancelFunc
}

// usage is what one source address has open.
type usage struct {
	conns, boxes int
	rejects      *rate.Limiter // nil: none yet
}

// ErrNotServing is returned by Serving before Run and after it.
var ErrNotServing = errors.New("signaling is not serving")

const (
	connsPerAddr     = 1024
	mailboxesPerAddr = 1 << 16
	mailboxesPerConn = 4096
	defaultMaxBytes  = 1 << 30
	defaultNode      = "relay"
	sweepEvery       = 15 * time.Second
	pingEvery        = 20 * time.Second
	silence          = 60 * time.Second
	writeTimeout     = 20 * time.Second
	finishTimeout    = 2 * time.Second
)

// New checks the configuration. Run serves.
func New(cfg Config) (*Server, error) {
	if cfg.PublicURL == "" || cfg.Bus == nil || cfg.Logger == nil {
		return nil, fmt.Errorf("make signaling server: public URL, bus and logger are needed")
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.Node == "" {
		cfg.Node = defaultNode
	}
	nodes := append([]string{cfg.Node}, cfg.Peers...)
	for _, n := range nodes {
		if err := CheckNode(n); err != nil {
			return nil, fmt.Errorf("make signaling server: %w", err)
		}
	}
	s := &Server{cfg: cfg, perAddr: make(map[netip.Addr]*usage)}
	s.Stats.Rejected = newRejected(nodes...)
	s.store = newStore(&s.Stats, cfg.MaxBytes, cfg.Node)
	s.stop, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Run serves until ctx ends; then it tells every client, closes the connections and waits for them.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.serving = true
	s.mu.Unlock()
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.stopping = true
			s.mu.Unlock()
			s.cancel()
			s.conns.Wait()
			return nil
		case now := <-ticker.C:
			s.store.sweep(now)
			s.sweep(now)
		}
	}
}

// Serving is nil while Run runs, else ErrNotServing.
func (s *Server) Serving() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.serving || s.stopping {
		return ErrNotServing
	}
	return nil
}

// ServeHTTP serves one WebSocket connection. Any Origin may connect: every right here comes from a mailbox's keys, none from
// a cookie, so a page of another site can do no more than any program can.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	addr := source(r)
	if status := s.enter(addr); status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	defer s.leave(addr)
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{signaling.Subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer ws.CloseNow()
	if ws.Subprotocol() != signaling.Subprotocol {
		ws.Close(websocket.StatusPolicyViolation, "want subprotocol "+signaling.Subprotocol)
		return
	}
	ws.SetReadLimit(signaling.MaxFrame)
	newConn(s, ws, addr).run(s.stop)
}

// enter counts a connection in, or says why not.
func (s *Server) enter(addr netip.Addr) (status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.perAddr[addr]
	switch {
	case s.stopping:
		return http.StatusServiceUnavailable
	case u == nil:
		u = new(usage)
		s.perAddr[addr] = u
	case u.conns >= connsPerAddr && !addr.IsLoopback():
		s.Stats.TooMany.Add(1)
		return http.StatusTooManyRequests
	}
	u.conns++
	s.conns.Add(1)
	s.Stats.Connections.Add(1)
	return http.StatusOK
}

func (s *Server) leave(addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.perAddr[addr]; u != nil {
		if u.conns--; u.idle(time.Now()) {
			delete(s.perAddr, addr)
		}
	}
	s.Stats.Connections.Add(-1)
	s.conns.Done()
}

// sweep forgets the addresses that nothing has to be known of any more.
func (s *Server) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for addr, u := range s.perAddr {
		if u.idle(now) {
			delete(s.perAddr, addr)
		}
	}
}

// addBoxes counts mailboxes that an address' connections have open; false: it has too many.
func (s *Server) addBoxes(addr netip.Addr, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.perAddr[addr]
	if u == nil || n > 0 && u.boxes+n > mailboxesPerAddr && !addr.IsLoopback() {
		return false
	}
	u.boxes += n
	return true
}

// source is the client's address; an IPv6 client counts by its /64.
func source(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		prefix, err := addr.Prefix(64)
		if err == nil {
			addr = prefix.Addr()
		}
	}
	return addr
}
