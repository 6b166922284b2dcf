package portmap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/nat"
)

const (
	lifetime    = 10 * time.Minute       // of a mapping; this is how long a killed process leaves one behind
	maxMappings = 64                     // at a time
	releaseWait = time.Second            // for the router to remove a mapping
	strayWait   = 200 * time.Millisecond // the same, for a mapping that it may never have granted
	knownWait   = 2 * time.Second        // for a router that has opened a port before
	forgetAfter = 2 * time.Minute        // until a router that opened no port is asked again
	renewPause  = 10 * time.Second       // between attempts to renew
)

var (
	// ErrNoRouter is returned if there is no router to ask: this host has a public address, or no gateway that is
	// known.
	ErrNoRouter = errors.New("no router that could open a port")
	// ErrRefused is returned if the router opens no port by any of the protocols.
	ErrRefused = errors.New("the router opens no port")
	// ErrInside is returned if the router's outside address is not public, because it is behind another router.
	ErrInside = errors.New("the router is behind another one")
	// ErrBusy is returned while there are as many mappings as there may be.
	ErrBusy = errors.New("too many ports are mapped")
)

// mapping is what is asked for one port.
type mapping struct {
	inside  netip.AddrPort
	outside netip.AddrPort // the last one granted; while it is zero, the inside port is asked for
	nonce   [12]byte       // proves to PCP that a renewal comes from whoever made the mapping
}

// lease is what a router grants.
type lease struct {
	outside netip.AddrPort
	life    time.Duration
}

// protocol is a way to ask a router.
type protocol interface {
	// grant asks for a mapping, or to prolong one.
	grant(ctx context.Context, m *mapping) (lease, error)
	// release removes it.
	release(ctx context.Context, m *mapping) error
}

// named is a protocol that a router may speak.
type named struct {
	name string
	wait time.Duration // for an answer, since the router may not speak it
	open func(ctx context.Context, r route) (protocol, error)
}

// Mapper has a router map ports. It is safe for concurrent use. One is enough for a process, since what one mapping
// learns about the router serves the next.
type Mapper struct {
	log       *slog.Logger
	route     func() (route, error)
	protocols []named // best first

	asking chan struct{} // holds a token while a goroutine finds out what the router speaks

	mu     sync.Mutex
	open   int       // guarded by mu; how many mappings there are
	router route     // guarded by mu; the route that the next two fields describe
	speaks protocol  // guarded by mu; nil if it is not known, or the router speaks none
	deaf   time.Time // guarded by mu; when the router was found to open no port
}

// New returns a Mapper. It asks the router nothing before the first Map.
func New(log *slog.Logger) *Mapper {
	return &Mapper{
		log:       log,
		route:     defaultRoute,
		protocols: protocols(),
		asking:    make(chan struct{}, 1),
	}
}

func protocols() []named {
	return []named{
		{"PCP", 700 * time.Millisecond, openPCP},
		{"NAT-PMP", 700 * time.Millisecond, openNATPMP},
		{"UPnP", 5 * time.Second, openIGD},
	}
}

// Map has the UDP port of inside mapped until ctx ends; then it removes the mapping and returns nil. It returns an
// error as soon as there is no mapping, at the start or because it could not be renewed. It calls found, from the
// goroutine that called Map, with the address at which the world reaches the port, and again whenever that changes.
func (m *Mapper) Map(ctx context.Context, inside netip.AddrPort, found func(outside netip.AddrPort)) error {
	r, err := m.route()
	if err == nil && inside.Addr() != r.local {
		err = ErrNoRouter
	}
	if err != nil {
		return fmt.Errorf("map port: %w", err)
	}

	if !m.begin() {
		return fmt.Errorf("map port: %w", ErrBusy)
	}
	defer m.end()

	one := newMapping(inside)
	var by protocol
	defer func() {
		if by != nil {
			m.release(ctx, by, one)
		}
	}()

	for ctx.Err() == nil {
		var granted lease
		if by, granted, err = m.first(ctx, r, one); err != nil {
			break
		}
		if err = hold(ctx, by, one, granted, found); err == nil || errors.Is(err, ErrInside) {
			break
		}
	}

	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("map port: %w", err)
}

// hold reports a mapping to found and renews it until ctx ends or the mapping is lost.
func hold(ctx context.Context, by protocol, one *mapping, granted lease, found func(netip.AddrPort)) error {
	told := netip.AddrPort{}
	for ctx.Err() == nil {
		one.outside = granted.outside
		if !nat.Public(granted.outside.Addr()) {
			return ErrInside
		}
		if granted.outside != told {
			told = granted.outside
			found(told)
		}

		var err error
		if granted, err = renew(ctx, by, one, granted.life); err != nil {
			return err
		}
	}

	return nil
}

func (m *Mapper) begin() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open >= maxMappings {
		return false
	}
	m.open++
	return true
}

func (m *Mapper) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
}

// known returns the protocol that the router was found to speak. deaf reports that it lately spoke none.
func (m *Mapper) known(r route) (by protocol, deaf bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.router != r {
		return nil, false
	}
	return m.speaks, !m.deaf.IsZero() && time.Since(m.deaf) < forgetAfter
}

func (m *Mapper) learn(r route, by protocol) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.router, m.speaks, m.deaf = r, by, time.Time{}
	if by == nil {
		m.deaf = time.Now()
	}
}

func (m *Mapper) forget(r route) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.router == r {
		m.speaks, m.deaf = nil, time.Time{}
	}
}

// first gets the first grant, by the protocol that the router is known to speak or else by each one in turn. Unless by
// is nil, the caller must release the mapping through it, even beside an error: the router may have granted it all the
// same.
func (m *Mapper) first(ctx context.Context, r route, one *mapping) (by protocol, granted lease, err error) {
	by, deaf := m.known(r)
	if by != nil {
		granted, err = within(ctx, knownWait, func(ctx context.Context) (lease, error) { return by.grant(ctx, one) })
		if err == nil || ctx.Err() != nil {
			return by, granted, err
		}
		m.forget(r) // it may have restarted and listen at another port now
	}

	if deaf {
		return nil, lease{}, ErrRefused
	}

	select { // one goroutine at a time finds out; those that waited learn from it
	case m.asking <- struct{}{}:
		defer func() { <-m.asking }()
	case <-ctx.Done():
		return nil, lease{}, ctx.Err()
	}

	switch by, deaf = m.known(r); {
	case deaf:
		return nil, lease{}, ErrRefused
	case by != nil:
		granted, err = within(ctx, knownWait, func(ctx context.Context) (lease, error) { return by.grant(ctx, one) })
		return by, granted, err
	}

	return m.tryAll(ctx, r, one)
}

// tryAll tries each protocol in turn; see first.
func (m *Mapper) tryAll(ctx context.Context, r route, one *mapping) (by protocol, granted lease, err error) {
	for _, p := range m.protocols {
		granted, err = within(ctx, p.wait, func(ctx context.Context) (lease, error) {
			if by, err = p.open(ctx, r); err != nil {
				by = nil
				return lease{}, err
			}
			return by.grant(ctx, one)
		})

		if err == nil {
			m.log.Info("the router opens ports", "protocol", p.name)
			m.learn(r, by)
			return by, granted, nil
		}

		if ctx.Err() != nil {
			return by, lease{}, ctx.Err()
		}
		m.log.Debug("map port", "protocol", p.name, "err", err)
	}

	m.learn(r, nil)
	return nil, lease{}, ErrRefused
}

func within(ctx context.Context, d time.Duration, f func(context.Context) (lease, error)) (lease, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

// renew waits until half of a lease is over and gets another one, trying until the lease has ended. When ctx ends, it
// returns neither an error nor a lease.
func renew(ctx context.Context, by protocol, one *mapping, life time.Duration) (lease, error) {
	end := time.Now().Add(life)
	pause := min(life, lifetime) / 2 // a router that restarts forgets its mappings without a word
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return lease{}, nil
		case <-timer.C:
		}

		wait := min(5*time.Second, time.Until(end))
		granted, err := within(ctx, wait, func(ctx context.Context) (lease, error) { return by.grant(ctx, one) })
		if err == nil || ctx.Err() != nil {
			return granted, nil
		}
		if pause = min(renewPause, life/8); time.Now().Add(pause).After(end) {
			return lease{}, err
		}
	}
}

func (m *Mapper) release(ctx context.Context, by protocol, one *mapping) {
	wait := releaseWait
	if !one.outside.IsValid() {
		wait = strayWait
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	if err := by.release(ctx, one); err != nil {
		m.log.Debug("take mapping back", "err", err)
	}
}
