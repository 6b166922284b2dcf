package relay

import (
	"context"
	"sync/atomic"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/turn"
)

// Node returns the relay's name in its own counters.
func (r *Relay) Node() string { return r.cfg.Node }

// SignalingStats returns signaling's counters. They keep counting.
func (r *Relay) SignalingStats() *server.Stats { return &r.signaling.Stats }

// TURNStats returns TURN's counters as they are now.
func (r *Relay) TURNStats() turn.Stats { return r.turn.server.Stats() }

// CheckSignaling returns nil while signaling serves, and server.ErrNotServing otherwise.
func (r *Relay) CheckSignaling(context.Context) error { return r.signaling.Serving() }

// CircuitStats returns the circuit relay's counters as they are now. ok is false if there is none.
func (r *Relay) CircuitStats() (s p2p.RelayStats, ok bool) {
	if r.circuits == nil {
		return s, false
	}
	return r.circuits.Stats(), true
}

// CheckCircuits asks the circuit relay's port for a binding, and returns nil if it answers, or if there is none.
func (r *Relay) CheckCircuits(ctx context.Context) error {
	if r.circuits == nil {
		return nil
	}
	return askBinding(ctx, "-p2p", r.circuits.Addr())
}

// CheckTURN asks the TURN server for a binding, and returns nil if it answers.
func (r *Relay) CheckTURN(ctx context.Context) error { return r.turn.check(ctx) }

// Refusal counts the connections and requests that one port refused for one reason.
type Refusal struct {
	Door  string // the port: "listen", "webtransport", "turn", "turn-tls" or "metrics"
	Why   string
	Count *atomic.Int64
}

// Refusals returns a counter for each port and reason. They keep counting.
func (r *Relay) Refusals() []Refusal {
	var all []Refusal
	entrances := []entrance{}
	for _, d := range r.doors() {
		entrances = append(entrances, d.entrance)
	}
	if r.webTransport != nil {
		entrances = append(entrances, r.webTransport.entrance)
	}

	for _, e := range entrances {
		for why, n := range e.refused {
			all = append(all, Refusal{Door: e.name, Why: string(why), Count: n})
		}
	}
	return all
}

// Connections returns how many connections there are now, by who pays for them: "stranger" (a client that has shown
// nothing yet), "address", "ticket" or "operator".
func (r *Relay) Connections() map[string]int64 {
	open := make(map[string]int64)
	for class, pool := range map[string]*netlimit.Pool{
		"stranger": r.places.strangers.Pool,
		"address":  r.places.addresses,
		"ticket":   r.places.tickets,
		"operator": r.places.operator.Pool,
	} {
		open[class] = pool.Used()
	}

	return open
}
