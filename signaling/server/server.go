// Package server is the relay's signaling endpoint (doc/protocol.md, section 5): self-certifying mailboxes, limits, and
// grants of ICE servers.
//
// It stores and routes opaque bodies and keeps no table of owners: a mailbox exists because somebody with its keys is
// or was connected, or because a message waits in it. With a mail store, what was acknowledged survives the process;
// without one, a restart loses what was not delivered, and both ends send again. A body that is delivered twice, late,
// or to the wrong mailbox is of no use to anybody, but that is ensured elsewhere. The package must never log a name or
// a body above debug.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package server

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/mail"
	"github.com/peephole-cam/peephole/signaling/webtransport"
)

// Granter makes credentials on the relay's TURN server.
type Granter interface {
	// Grant makes both ends' credentials for one session, for which a client asked through a mailbox. The session
	// counts towards the limits of payer. "" means no limits. region is the one whose TURN server the client asked
	// for; the server is the relay's own if that is "", or a region for which the relay cannot grant anything.
	Grant(payer string, through signaling.Name, region string, now time.Time) (signaling.Grant, error)

	// Revoke ends what was granted so far through a mailbox that a ticket paid for. Later grants are not affected.
	Revoke(through signaling.Name)
}

// Config is what an endpoint needs.
type Config struct {
	PublicURL string            // the relay URL that clients dial and sign
	TicketKey ed25519.PublicKey // mailboxes need a ticket signed by this key; nil admits everyone
	Granter   Granter           // nil means no ICE servers
	Bus       bus.Bus
	Mail      mail.Store       // nil keeps messages in memory, so that they end with the process
	Node      string           // names this node to its operator, see CheckNode; "" means "relay"
	Peers     []string         // the other nodes of the bus
	Memory    int64            // bytes for all clients together; 0 means 1 GiB
	Now       func() time.Time // sent to clients, and used to check tickets; nil means time.Now
	Logger    *slog.Logger

	// Private makes a server inside a camera (doc/protocol.md, section 5.5), for which PublicURL, TicketKey, Granter
	// and Place must not be set, and Memory is 4 MiB by default. The camera's own client comes through Dial and has the
	// only Ticket. Clients from outside come through Serve. Nothing is done for them before they have opened, for
	// writing, a mailbox that the camera has admitted. They are gone once the camera has given up the last one that
	// they have open.
	Private bool

	// LoopbackUnlimited exempts clients at loopback addresses from all limits by address. It is only for demonstrations
	// and tests, because behind a proxy on this machine everybody may have such an address.
	LoopbackUnlimited bool

	// Place returns a function for the connection of a request. The server calls that function once the client has
	// shown the key of a mailbox, with the payer of the connection: its address, or a ticket's id. It calls it again
	// when the payer changes. An error means that there is no place for such a connection. Place may be nil.
	Place func(*http.Request) func(who netlimit.Payer) error
}

// Stats counts since the start, except for the first line, which holds present values. WebTransport counts those of the
// Connections that use HTTP/3.
type Stats struct {
	Connections, WebTransport, Mailboxes, StoredBytes  atomic.Int64
	Opened, Posted, Delivered, Acked, Granted, Expired atomic.Int64
	BadFrames, BadSignatures, Refused, SlowReaders     atomic.Int64

	// What limits have refused or ended.
	RefusedConnections, RefusedMailboxes, RefusedMessages atomic.Int64
	RefusedGrants, RefusedBuffers                         atomic.Int64
	EndedForSignatures                                    atomic.Int64
	Replaced                                              atomic.Int64 // readers, by a third one
	Delayed                                               atomic.Int64 // frames, for their share of the processor
	NotErased                                             atomic.Int64 // messages that stay on disk until they expire

	// Rejected counts this node's deliveries that their receivers could not open, by the node where they were posted:
	// this one, one of the Peers, or OtherNode. The map does not change.
	Rejected       map[string]*atomic.Int64
	RejectsIgnored atomic.Int64 // repeated, about something not delivered, or too many from one address
}

// Server is the endpoint. It implements http.Handler.
type Server struct {
	cfg   Config
	store *store
	Stats Stats

	addresses *class
	local     *class // for addresses without limits; nil if there are none
	tickets   tickets
	rejects   *netlimit.Rate

	ticket    []byte        // a private server's only one
	places    *places       // nil unless the server is private
	inProcess *inProcess    // nil unless the server is private
	woken     chan struct{} // holds one token when a private server may have something to sweep

	mu       sync.Mutex
	serving  bool // guarded by mu; Run has been called
	stopping bool // guarded by mu; Run has ended
	conns    sync.WaitGroup
	stop     context.Context // ends when Run does
	cancel   context.CancelFunc
}

// ErrNotServing is returned by Serving before Run and after it.
var ErrNotServing = errors.New("signaling is not serving")

const (
	defaultNode   = "relay"
	sweepInterval = 15 * time.Second
	pingInterval  = 20 * time.Second
	silence       = 60 * time.Second
	writeTimeout  = 20 * time.Second
	frameTimeout  = 20 * time.Second
	finishTimeout = 2 * time.Second
)

// New checks the configuration. Run serves.
func New(cfg Config) (*Server, error) {
	if cfg.PublicURL == "" && !cfg.Private || cfg.Bus == nil || cfg.Logger == nil {
		return nil, fmt.Errorf("make signaling server: public URL, bus and logger are needed")
	}
	if cfg.Memory == 0 {
		cfg.Memory = defaultMemory
		if cfg.Private {
			cfg.Memory = privateMemory
		}
	}
	if cfg.Node == "" {
		cfg.Node = defaultNode
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}

	nodes := append([]string{cfg.Node}, cfg.Peers...)
	for _, n := range nodes {
		if err := CheckNode(n); err != nil {
			return nil, fmt.Errorf("make signaling server: %w", err)
		}
	}

	s := &Server{cfg: cfg, rejects: newRejects(), woken: make(chan struct{}, 1)}
	s.stop, s.cancel = context.WithCancel(context.Background())
	if cfg.Private {
		if err := s.setUpPrivate(); err != nil {
			return nil, fmt.Errorf("make signaling server: %w", err)
		}
	}
	s.divideMemory()
	s.Stats.Rejected = newRejected(nodes...)
	s.store = newStore(&s.Stats, cfg.Bus, cfg.Mail, cfg.Node)
	return s, nil
}

// divideMemory divides memory among the kinds of payers.
func (s *Server) divideMemory() {
	if s.cfg.Private {
		s.addresses = privateClass(s.cfg.Memory, privateParts)
		s.tickets = tickets{class: privateClass(s.cfg.Memory, ownerParts), byID: make(map[[16]byte]*ticket)}
		return
	}

	parts := openParts
	if s.cfg.TicketKey != nil {
		parts = visitorParts
		s.tickets = tickets{class: newClass(s.cfg.Memory, ticketParts), byID: make(map[[16]byte]*ticket)}
	}

	s.addresses = newClass(s.cfg.Memory, parts)
	if s.cfg.LoopbackUnlimited {
		s.local = unlimited()
	}
}

// Run serves until ctx ends. Then it tells every client, closes the connections and waits for them.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.serving = true
	s.mu.Unlock()

	if s.cfg.Private {
		s.conns.Go(func() { _ = s.serve(s.inProcess) }) // ends with s.stop
	}
	s.sweepUntil(ctx)

	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.cancel()
	s.conns.Wait()
	return nil
}

// sweepUntil removes what has expired until ctx ends. A private server sleeps while it has nothing that could expire.
func (s *Server) sweepUntil(ctx context.Context) {
	for {
		if s.cfg.Private && s.places.empty() && s.Stats.StoredBytes.Load() == 0 {
			select {
			case <-ctx.Done():
				return
			case <-s.woken:
				continue
			}
		}

		if !pause(ctx, sweepInterval) {
			return
		}
		now := time.Now()
		s.store.sweep(now)
		s.tickets.sweep(now)
	}
}

// wakeSweeper tells a private server that it may have something to sweep.
func (s *Server) wakeSweeper() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// Serving returns nil while Run runs, and ErrNotServing otherwise.
func (s *Server) Serving() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.serving || s.stopping {
		return ErrNotServing
	}
	return nil
}

// ServeHTTP serves one connection, a WebSocket or a WebTransport session. Any Origin may connect. Every right comes
// from a mailbox's keys and none from a cookie, so another site's page can do no more than any program.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin, who, from := s.originOf(r)
	if origin == "" {
		http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		return
	}
	overHTTP3, cost := webtransport.Asks(r), int64(connCost)
	if overHTTP3 {
		cost = sessionCost
	}
	lease, status := s.addConn(who, cost)
	if status != http.StatusOK {
		w.Header().Set("Retry-After", "30")
		http.Error(w, http.StatusText(status), status)
		return
	}

	frames, err := accept(w, r)
	if err != nil { // accept has answered
		s.removeConn(lease)
		return
	}

	c := newConn(s, frames, who, lease)
	c.origin = origin
	frames.SetReadLimit(signaling.MaxFrame)
	if from != nil {
		c.comeFromOutside(from)
	}
	if s.cfg.Place != nil {
		c.place = s.cfg.Place(r)
	}

	// The connection now belongs to this package. A new goroutine has a small stack, and keeps nothing of the request
	// in memory.
	go func() {
		if overHTTP3 {
			s.Stats.WebTransport.Add(1)
			defer s.Stats.WebTransport.Add(-1)
		}
		defer s.removeConn(nil)
		defer frames.CloseNow()
		c.run(s.stop)
	}()
}

// originOf returns what the client of a request signs, who pays for its connection, and its place if it comes from
// outside to a private server. It returns "" for a connection that did not come to a private server through Dial or
// Serve.
func (s *Server) originOf(r *http.Request) (origin string, who *account, from *place) {
	if !s.cfg.Private {
		return s.cfg.PublicURL, s.accountOf(source(r)), nil
	}
	switch conn := r.Context().Value(connKey{}).(type) {
	case *place:
		return conn.origin, s.accountOf(source(r)), conn
	case inProcessConn:
		return inProcessOrigin, &account{class: s.tickets.class}, nil
	}
	return "", nil, nil
}

// accountOf returns the account of a source address.
func (s *Server) accountOf(addr netip.Addr) *account {
	class := s.addresses
	if s.local != nil && addr.IsLoopback() {
		class = s.local
	}
	return &account{payer: netlimit.PayerOf(addr), class: class, addr: netlimit.Fold(addr).Addr()}
}

// addConn counts a new connection and charges its cost in memory, or returns the status with which to refuse it. The
// connection must call removeConn.
func (s *Server) addConn(who *account, cost int64) (lease *netlimit.Lease, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.stopping {
		return nil, http.StatusServiceUnavailable
	}
	lease, err := who.class.connections.Acquire(who.payer, cost)
	if err == nil && who.class.work.Charge(who.payer, enterWork, time.Now()) != nil {
		lease.Release()
		err = netlimit.ErrShare
	}
	if err != nil {
		s.Stats.RefusedConnections.Add(1)
		return nil, http.StatusTooManyRequests
	}

	s.conns.Add(1)
	s.Stats.Connections.Add(1)
	return lease, http.StatusOK
}

// removeConn counts a connection as ended. lease is what was paid for it, or nil if the connection has released that
// itself.
func (s *Server) removeConn(lease *netlimit.Lease) {
	if lease != nil {
		lease.Release()
	}
	s.Stats.Connections.Add(-1)
	s.conns.Done()
}

// source returns the client's address, or the zero Addr if it is not known.
func source(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}
