package main

import (
	"sync/atomic"

	"github.com/peephole-cam/peephole/internal/obs"
	"github.com/peephole-cam/peephole/turn"
)

// newMetrics names the parts' counters. Nothing here tells one mailbox, camera or client from another.
func (r *relay) newMetrics() *obs.Metrics {
	m := obs.NewMetrics()
	s := &r.signaling.Stats
	of := func(n *atomic.Int64) func() float64 { return func() float64 { return float64(n.Load()) } }
	m.Gauge("peephole_signaling_connections", "WebSocket connections now.", nil, of(&s.Connections))
	m.Gauge("peephole_signaling_mailboxes", "Mailboxes now.", nil, of(&s.Mailboxes))
	m.Gauge("peephole_signaling_stored_bytes", "Bytes of messages that wait now.", nil, of(&s.StoredBytes))
	for name, n := range map[string]*atomic.Int64{
		"opened": &s.Opened, "posted": &s.Posted, "delivered": &s.Delivered, "acked": &s.Acked, "expired": &s.Expired, "granted": &s.Granted,
	} {
		m.Counter("peephole_signaling_total", "What signaling has done.", obs.Labels{"what": name}, of(n))
	}
	for name, n := range map[string]*atomic.Int64{
		"malformed": &s.BadFrames, "signature": &s.BadSignatures, "request": &s.Refused, "slow_reader": &s.SlowReaders, "connections": &s.TooMany, "reject": &s.RejectsIgnored,
	} {
		m.Counter("peephole_signaling_refused_total", "What signaling has refused or ended.", obs.Labels{"why": name}, of(n))
	}
	for node, n := range s.Rejected {
		m.Counter("peephole_signaling_rejected_total", "Deliveries that did not open at their receiver, by the node where they were posted and the one that delivered them.",
			obs.Labels{"posted": node, "delivered": r.cfg.node}, of(n))
	}
	turnMetrics(m, r.turn.server.Stats)
	if r.shared != nil {
		for why, n := range map[string]*atomic.Int64{"full": &r.shared.full, "silent": &r.shared.silent, "handshake": &r.shared.failed} {
			m.Counter("peephole_port_refused_total", "Connections to the port shared by HTTP and TURN that came to neither.", obs.Labels{"why": why}, of(n))
		}
	}
	return m
}

func turnMetrics(m *obs.Metrics, stats func() turn.Stats) {
	m.Gauge("peephole_turn_allocations", "Allocations now.", nil, func() float64 { return float64(stats().Allocations) })
	m.Gauge("peephole_turn_sessions", "Sessions with an allocation now.", nil, func() float64 { return float64(stats().Sessions) })
	m.Gauge("peephole_turn_connections", "TCP and TLS connections now.", nil, func() float64 { return float64(stats().Connections) })
	m.Counter("peephole_turn_allocations_total", "Allocations made.", nil, func() float64 { return float64(stats().AllocationsTotal) })
	m.Counter("peephole_turn_kernel_packets_total", "Packets relayed that XDP forwarded.", nil, func() float64 { return float64(stats().Kernel) })
	m.Counter("peephole_turn_packets_total", "Packets relayed.", nil, func() float64 { return float64(stats().Packets) })
	m.Counter("peephole_turn_bytes_total", "Bytes relayed, without TURN's own headers.", nil, func() float64 { return float64(stats().Bytes) })
	now := stats()
	for kind, reasons := range map[string]struct {
		now map[string]uint64
		of  func(turn.Stats) map[string]uint64
	}{
		"auth":    {now.AuthFailures, func(s turn.Stats) map[string]uint64 { return s.AuthFailures }},
		"refused": {now.Refusals, func(s turn.Stats) map[string]uint64 { return s.Refusals }},
		"dropped": {now.Drops, func(s turn.Stats) map[string]uint64 { return s.Drops }},
	} {
		for why := range reasons.now {
			m.Counter("peephole_turn_"+kind+"_total", "What TURN has not let through.", obs.Labels{"why": why},
				func() float64 { return float64(reasons.of(stats())[why]) })
		}
	}
}
