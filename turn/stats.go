package turn

import "sync/atomic"

// Stats is a snapshot of a server's counters. Counters only grow; gauges show the present.
type Stats struct {
	Allocations      int64  // gauge: bound to a session and alive
	Sessions         int64  // gauge: with at least one allocation
	Connections      int64  // gauge: open TCP and TLS connections
	AllocationsTotal uint64 // allocations ever bound
	Packets          uint64 // sent to the other end's client, or handed to its queue
	Bytes            uint64 // payload of those, without TURN's own headers
	Kernel           uint64 // those of the packets that XDP forwarded

	// AuthFailures counts refused credentials: malformed, expired, unknown_key, bad_integrity, wrong_credentials,
	// no_allocation, revoked.
	AuthFailures map[string]uint64

	// Refusals counts refused requests and connections: quota, peer, transport, connections, draining, attribute.
	Refusals map[string]uint64

	// Drops counts packets and requests that went nowhere: queue_full, not_peer, unbound, too_big, malformed, rate,
	// unproved, no_allocation, no_channel, no_permission, send, requests_full, request_rate.
	Drops map[string]uint64
}

// reason is why something was refused or dropped.
type reason int

const (
	authMalformed reason = iota
	authExpired
	authUnknownKey
	authIntegrity
	authWrongCredentials
	authNoAllocation
	authRevoked
	refusedQuota
	refusedPeer
	refusedTransport
	refusedConn
	refusedDraining
	refusedAttribute // one that we must understand, and do not
	dropQueueFull    // a TCP or TLS client does not read
	dropNotPeer      // not an allocation of the session's other end, or no longer
	dropUnbound      // from an allocation that is not bound, or no longer
	dropTooBig
	dropMalformed
	dropRate
	dropUnproved     // the address has no password, and no answer left (see meter)
	dropNoAllocation // from a client that has none
	dropNoChannel    // to a channel that is not bound
	dropNoPermission // at one end or the other
	dropSend         // the kernel refused it
	dropRequests     // a request, while too many wait
	dropRequestRate  // a request beyond what its client or its network may make
	reasons          // how many there are
)

// counters are the source of Stats.
type counters struct {
	allocations, sessions, conns atomic.Int64
	bound, packets, bytes        atomic.Uint64
	by                           [reasons]atomic.Uint64
}

func (c *counters) count(r reason) { c.by[r].Add(1) }

// countRelayed counts packets that were sent, and the bytes of their payload.
func (c *counters) countRelayed(packets, bytes int) {
	c.packets.Add(uint64(packets))
	c.bytes.Add(uint64(bytes))
}

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
		AuthFailures: named(authMalformed, "malformed", "expired", "unknown_key", "bad_integrity",
			"wrong_credentials", "no_allocation", "revoked"),
		Refusals: named(refusedQuota, "quota", "peer", "transport", "connections", "draining", "attribute"),
		Drops: named(dropQueueFull, "queue_full", "not_peer", "unbound", "too_big", "malformed", "rate", "unproved",
			"no_allocation", "no_channel", "no_permission", "send", "requests_full", "request_rate"),
	}
}
