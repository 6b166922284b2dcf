package turn

import "sync/atomic"

// Stats is a snapshot of a server's counters. Counters only grow; gauges say what is now.
type Stats struct {
	Allocations      int64  // gauge: bound to a session and alive
	Sessions         int64  // gauge: with at least one allocation
	Connections      int64  // gauge: open TCP and TLS connections
	AllocationsTotal uint64 // allocations ever bound
	Packets          uint64 // sent to the other end's client, or handed to its queue
	Bytes            uint64 // payload of those, without TURN's own headers
	Kernel           uint64 // of the packets, those that XDP forwarded

	AuthFailures map[string]uint64 // malformed, expired, unknown_key, bad_integrity, wrong_credentials, no_allocation
	Refusals     map[string]uint64 // quota, peer, transport, connections, draining, attribute
	Drops        map[string]uint64 // why a packet went nowhere: see the reasons
}

// reason says why something was refused or dropped.
type reason int

const (
	authMalformed reason = iota
	authExpired
	authUnknownKey
	authIntegrity
	authWrongCredentials
	authNoAllocation
	refusedQuota
	refusedPeer
	refusedTransport
	refusedConn
	refusedDraining
	refusedAttribute // that must be understood and is not
	dropQueueFull    // a TCP or TLS client does not read
	dropNotPeer      // of the session, or no longer
	dropUnbound
	dropTooBig
	dropMalformed
	dropRate
	dropUnproved
	dropNoAllocation // from a client that has none
	dropNoChannel    // to a channel that is not bound
	dropNoPermission // at one end or the other
	dropSend         // the kernel would not take it
	dropRequests     // a request, while too many wait
	reasons          // how many there are
)

// counters is what Stats is taken from.
type counters struct {
	allocations, sessions, conns atomic.Int64
	bound, packets, bytes        atomic.Uint64
	by                           [reasons]atomic.Uint64
}

func (c *counters) count(r reason) { c.by[r].Add(1) }

func (c *counters) snapshot() Stats {
	named := func(first reason, names ...string) map[string]uint64 {
		m := make(map[string]uint64, len(names))
		for i, name := range names {
			m[name] = c.by[int(first)+i].Load()
		}
		return m
	}
	return Stats{
		Allocations:      c.allocations.Load(),
		Sessions:         c.sessions.Load(),
		Connections:      c.conns.Load(),
		AllocationsTotal: c.bound.Load(),
		Packets:          c.packets.Load(),
		Bytes:            c.bytes.Load(),
		AuthFailures:     named(authMalformed, "malformed", "expired", "unknown_key", "bad_integrity", "wrong_credentials", "no_allocation"),
		Refusals:         named(refusedQuota, "quota", "peer", "transport", "connections", "draining", "attribute"),
		Drops: named(dropQueueFull, "queue_full", "not_peer", "unbound", "too_big", "malformed", "rate", "unproved",
			"no_allocation", "no_channel", "no_permission", "send", "requests_full"),
	}
}
