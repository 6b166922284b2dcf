package main

import (
	"sync/atomic"

	"github.com/peephole-cam/peephole/cmd/internal/obs"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/signaling/mail/jetstream"
	"github.com/peephole-cam/peephole/turn"
)

// newMetrics exposes the parts' counters. They do not distinguish one mailbox, camera or client from another.
func newMetrics(r *relay.Relay) *obs.Metrics {
	m := obs.NewMetrics()
	s := r.SignalingStats()
	of := func(n *atomic.Int64) func() float64 { return func() float64 { return float64(n.Load()) } }
	m.Gauge("peephole_signaling_connections", "Connections now.", nil, of(&s.Connections))
	m.Gauge("peephole_signaling_webtransport", "Connections over WebTransport now, which are among the connections.",
		nil, of(&s.WebTransport))
	m.Gauge("peephole_signaling_mailboxes", "Mailboxes now.", nil, of(&s.Mailboxes))
	m.Gauge("peephole_signaling_stored_bytes", "Bytes of messages that wait now.", nil, of(&s.StoredBytes))

	for name, n := range map[string]*atomic.Int64{
		"opened": &s.Opened, "posted": &s.Posted, "delivered": &s.Delivered, "acked": &s.Acked, "expired": &s.Expired,
		"granted": &s.Granted,
	} {
		m.Counter("peephole_signaling_total", "What signaling has done.", obs.Labels{"what": name}, of(n))
	}

	for name, n := range map[string]*atomic.Int64{
		"malformed":   &s.BadFrames,
		"signature":   &s.BadSignatures,
		"signatures":  &s.EndedForSignatures,
		"request":     &s.Refused,
		"slow_reader": &s.SlowReaders,
		"replaced":    &s.Replaced,
		"connections": &s.RefusedConnections,
		"mailboxes":   &s.RefusedMailboxes,
		"messages":    &s.RefusedMessages,
		"grants":      &s.RefusedGrants,
		"buffers":     &s.RefusedBuffers,
		"delayed":     &s.Delayed,
		"reject":      &s.RejectsIgnored,
	} {
		m.Counter("peephole_signaling_refused_total", "What signaling has refused or ended.", obs.Labels{"why": name},
			of(n))
	}

	for node, n := range s.Rejected {
		m.Counter("peephole_signaling_rejected_total",
			"Deliveries that did not open at their receiver, "+
				"by the node where they were posted and the one that delivered them.",
			obs.Labels{"posted": node, "delivered": r.Node()}, of(n))
	}

	if !r.RegionsExpire().IsZero() {
		m.Gauge("peephole_regions_expire_seconds", "When the map of regions expires, in Unix time.", nil,
			func() float64 { return float64(r.RegionsExpire().Unix()) })
	}
	mailMetrics(m, r)
	turnMetrics(m, r.TURNStats)
	circuitMetrics(m, r)
	for _, refused := range r.Refusals() {
		m.Counter("peephole_door_refused_total",
			"Connections and requests that were refused before they were served, by the flag of their port.",
			obs.Labels{"door": refused.Door, "why": refused.Why}, of(refused.Count))
	}

	for class := range r.Connections() {
		m.Gauge("peephole_door_connections", "Connections now, over TCP and over HTTP/3, by whose place they have.",
			obs.Labels{"class": class}, func() float64 { return float64(r.Connections()[class]) })
	}

	return m
}

// mailMetrics exposes what is stored on disk, if anything is.
func mailMetrics(m *obs.Metrics, r *relay.Relay) {
	if _, ok := r.MailStats(); !ok {
		return
	}
	of := func(n func(jetstream.Stats) uint64) func() float64 {
		return func() float64 {
			s, _ := r.MailStats()
			return float64(n(s))
		}
	}

	m.Gauge("peephole_mail_messages", "Messages on disk now.", nil,
		of(func(s jetstream.Stats) uint64 { return s.Messages }))
	m.Gauge("peephole_mail_bytes", "Bytes that they take.", nil,
		of(func(s jetstream.Stats) uint64 { return s.Bytes }))
	m.Counter("peephole_mail_not_erased_total", "Messages that could not be deleted, and stay until they expire.", nil,
		func() float64 { return float64(r.SignalingStats().NotErased.Load()) })
}

// circuitMetrics exposes the circuit relay's counters, if there is one.
func circuitMetrics(m *obs.Metrics, r *relay.Relay) {
	if _, ok := r.CircuitStats(); !ok {
		return
	}
	of := func(n func(p2p.RelayStats) int64) func() float64 {
		return func() float64 {
			s, _ := r.CircuitStats()
			return float64(n(s))
		}
	}

	m.Gauge("peephole_circuit_connections", "QUIC connections of the circuit relay now.", nil,
		of(func(s p2p.RelayStats) int64 { return s.Connections }))
	m.Gauge("peephole_circuit_reservations", "Host keys that can be reached through it now.", nil,
		of(func(s p2p.RelayStats) int64 { return s.Reservations }))
	m.Gauge("peephole_circuit_circuits", "Circuits now.", nil,
		of(func(s p2p.RelayStats) int64 { return s.Circuits }))
	m.Counter("peephole_circuit_circuits_total", "Circuits made.", nil,
		of(func(s p2p.RelayStats) int64 { return s.CircuitsTotal }))
	m.Counter("peephole_circuit_refused_total", "Circuits that a limit refused.", nil,
		of(func(s p2p.RelayStats) int64 { return s.Refused }))
}

func turnMetrics(m *obs.Metrics, stats func() turn.Stats) {
	m.Gauge("peephole_turn_allocations", "Allocations now.", nil, func() float64 {
		return float64(stats().Allocations)
	})
	m.Gauge("peephole_turn_sessions", "Sessions with an allocation now.", nil, func() float64 {
		return float64(stats().Sessions)
	})
	m.Gauge("peephole_turn_connections", "TCP and TLS connections now.", nil, func() float64 {
		return float64(stats().Connections)
	})
	m.Counter("peephole_turn_allocations_total", "Allocations made.", nil, func() float64 {
		return float64(stats().AllocationsTotal)
	})
	m.Counter("peephole_turn_kernel_packets_total", "Packets relayed that XDP forwarded.", nil, func() float64 {
		return float64(stats().Kernel)
	})
	m.Counter("peephole_turn_packets_total", "Packets relayed.", nil, func() float64 {
		return float64(stats().Packets)
	})
	m.Counter("peephole_turn_bytes_total", "Bytes relayed, without TURN's own headers.", nil, func() float64 {
		return float64(stats().Bytes)
	})
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
			m.Counter("peephole_turn_"+kind+"_total", "What TURN has refused or dropped.", obs.Labels{"why": why},
				func() float64 { return float64(reasons.of(stats())[why]) })
		}
	}
}
