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
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// Granter makes both ends' credentials for one session on the relay's TURN server.
type Granter interface {
	Grant(now time.Time) (signaling.Grant, error)
}

// Config is what an endpoint needs.
type Config struct {
	PublicURL string            // the relay URL that clients dial and sign
	TicketKey ed25519.PublicKey // who opens a mailbox must have a ticket of this key; nil: everyone is admitted
	Granter   Granter           // nil: no ICE servers
	Bus       bus.Bus
	Logger    *slog.Logger
}

// Stats counts since the start; Connections and Mailboxes are of now.
type Stats struct {
	Connections, Mailboxes                                  atomic.Int64
	Opened, Posted, Delivered, Acked, Granted, Expired      atomic.Int64
	BadFrames, BadSignatures, Refused, SlowReaders, TooMany atomic.Int64
}

// Server is the endpoint. It implements http.Handler.
type Server struct {
	cfg   Config
	store *store
	Stats Stats

	mu      sync.Mutex
	perAddr map[netip.Addr]int // guarded by mu; connections
	closing bool               // guarded by mu
	conns   sync.WaitGroup
	stop    context.Context // ends when the server closes
	cancel  context.CancelFunc
}

const (
	connsPerAddr  = 1024
	sweepEvery    = 15 * time.Second
	pingEvery     = 20 * time.Second
	silence       = 60 * time.Second
	writeTimeout  = 20 * time.Second
	outQueue      = 1024
	mailboxesConn = 4096
)

// New checks the configuration; the server serves until Close.
func New(cfg Config) (*Server, error) {
	if cfg.PublicURL == "" || cfg.Bus == nil || cfg.Logger == nil {
		return nil, fmt.Errorf("make signaling server: public URL, bus and logger are needed")
	}
	s := &Server{cfg: cfg, perAddr: make(map[netip.Addr]int)}
	s.store = newStore(&s.Stats)
	s.stop, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Run removes what has expired, until ctx ends; then it closes every connection and waits for them.
func (s *Server) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.closing = true
			s.mu.Unlock()
			s.cancel()
			s.conns.Wait()
			return nil
		case now := <-ticker.C:
			s.store.sweep(now)
		}
	}
}

// ServeHTTP serves one WebSocket connection. Any Origin may connect: every right here comes from a mailbox's keys, none from
// a cookie, so a page of another site can do no more than any program can.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	addr := source(r)
	if !s.enter(addr) {
		s.Stats.TooMany.Add(1)
		http.Error(w, "too many connections from this address", http.StatusTooManyRequests)
		return
	}
	defer s.leave(addr)
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{signaling.Subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer ws.CloseNow()
	if ws.Subprotocol() != signaling.Subprotocol {
		ws.Close(websocket.StatusPolicyViolation, "unknown subprotocol")
		return
	}
	ws.SetReadLimit(signaling.MaxFrame)
	newConn(s, ws, addr).run(s.stop)
}

func (s *Server) enter(addr netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.perAddr[addr] >= connsPerAddr && !addr.IsLoopback() {
		return false
	}
	s.perAddr[addr]++
	s.conns.Add(1)
	s.Stats.Connections.Add(1)
	return true
}

func (s *Server) leave(addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perAddr[addr]--; s.perAddr[addr] == 0 {
		delete(s.perAddr, addr)
	}
	s.Stats.Connections.Add(-1)
	s.conns.Done()
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
