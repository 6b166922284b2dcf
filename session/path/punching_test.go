package path

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/session/handshake"
)

// relayedFor returns what is known about a session that two NATs keep on the relay, with the given mappings.
func relayedFor(own, other nat.Mapping) Explain {
	e := Explain{Role: "viewer", Selected: &Selected{Type: RelayUDP}}
	e.Own, e.Other = End{Mapping: own, UDP: handshake.UDPOpen}, End{Mapping: other, UDP: handshake.UDPOpen}
	return e
}

// Guessing ports is worth it only for sessions that are relayed because of what a NAT does to ports.
func TestPunchingIsWorthItBehindSymmetricNATs(t *testing.T) {
	change := func(f func(*Explain)) Explain {
		e := relayedFor(nat.EndpointIndependent, nat.AddressAndPortDependent)
		f(&e)
		return e
	}
	for _, tt := range []struct {
		name string
		e    Explain
		want bool
	}{
		{"theirs is symmetric", change(func(*Explain) {}), true},
		{"ours is", relayedFor(nat.AddressDependent, nat.NoMapping), true},
		{"both are", relayedFor(nat.AddressAndPortDependent, nat.AddressAndPortDependent), true},
		{"neither is", relayedFor(nat.EndpointIndependent, nat.EndpointIndependent), false},
		{"theirs is unknown", relayedFor(nat.AddressAndPortDependent, nat.UnknownMapping), false},
		{"ours is unknown", relayedFor(nat.UnknownMapping, nat.AddressAndPortDependent), false},
		{"direct", change(func(e *Explain) { e.Selected.Type = Direct }), false},
		{"no path", change(func(e *Explain) { e.Selected = nil }), false},
		{"hidden", change(func(e *Explain) { e.RelayOnly = true }), false},
		{"the camera hides", change(func(e *Explain) { e.CameraRelayOnly = true }), false},
		{"no UDP here", change(func(e *Explain) { e.Own.UDP = handshake.UDPBlocked }), false},
		{"no UDP there", change(func(e *Explain) { e.Other.UDP = handshake.UDPUnknown }), false},
	} {
		if got := tt.e.worthPunching(); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// It is time to guess ports once the media has been on the relay for long enough, if the other end can guess, too.
func TestPunchIsDueAfterAWhileOnTheRelay(t *testing.T) {
	relayed := relayedFor(nat.EndpointIndependent, nat.AddressAndPortDependent)
	for _, tt := range []struct {
		name  string
		x     Explainer
		since time.Duration
		want  bool
	}{
		{"it is time", Explainer{known: relayed, otherPunch: true}, time.Minute, true},
		{"too early", Explainer{known: relayed, otherPunch: true}, 0, false},
		{"a page", Explainer{known: relayed}, time.Minute, false},
		{"no need", Explainer{known: relayedFor(nat.EndpointIndependent, nat.NoMapping), otherPunch: true}, time.Minute,
			false},
	} {
		tt.x.changed = time.Now().Add(-tt.since)
		if got := tt.x.PunchDue(2 * time.Second); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
