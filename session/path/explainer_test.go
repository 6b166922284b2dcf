package path

import (
	"reflect"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/session/handshake"
)

// This end uses only values of the other end's Network that it knows.
func TestOnlyKnownValuesOfTheOtherNetworkCount(t *testing.T) {
	for _, tt := range []struct{ said, want handshake.Network }{
		{handshake.Network{}, handshake.Network{Mapping: nat.UnknownMapping, UDP: "unknown"}},
		{handshake.Network{Mapping: nat.AddressDependent, UDP: "blocked", Relay: "tls"},
			handshake.Network{Mapping: nat.AddressDependent, UDP: "blocked", Relay: "tls"}},
		{handshake.Network{Mapping: "<b>", UDP: "of course", Relay: "pigeon"},
			handshake.Network{Mapping: nat.UnknownMapping, UDP: "unknown"}},
		{handshake.Network{Mapping: nat.NoMapping, UDP: "open", Punch: true},
			handshake.Network{Mapping: nat.NoMapping, UDP: "open", Punch: true}},
		{handshake.Network{Mapping: nat.NoMapping, UDP: "of course", Relay: "tls", Punch: true},
			handshake.Network{Mapping: nat.NoMapping, UDP: "unknown", Relay: "tls", Punch: true}},
	} {
		x := Explainer{asking: true}
		x.Heard(&tt.said)
		x.Heard(nil)
		want := End{Mapping: tt.want.Mapping, UDP: tt.want.UDP, Relay: tt.want.Relay}
		if got := x.known.Other; !reflect.DeepEqual(got, want) || x.otherPunch != tt.want.Punch {
			t.Errorf("%+v is noted as %+v, it can punch: %t; want %+v", tt.said, got, x.otherPunch, tt.want)
		}
	}
}

// Statistics are summed up by kind, without pairs that cannot work. The best type of path comes first.
func TestChecksAreSummedUpByKind(t *testing.T) {
	s := iceStats{
		ours: map[string]Candidate{"a": at("host 192.168.1.2"), "b": at("srflx 203.0.113.1"), "c": at("relay tcp"),
			"d": at("relay tls")},
		theirs: map[string]Candidate{"x": at("host 192.168.1.3"), "y": at("srflx 203.0.113.2"), "z": at("relay ")},
		local:  "c",
		remote: "z",
		rtt:    0.0421,
	}

	done := webrtc.StatsICECandidatePairStateSucceeded
	for i, pair := range []string{"ax", "ay", "by", "cz", "az", "cx", "?x", "by", "by"} {
		p := webrtc.ICECandidatePairStats{
			LocalCandidateID:  pair[:1],
			RemoteCandidateID: pair[1:],
			RequestsSent:      uint64(i + 1),
			ResponsesReceived: 1,
			RequestsReceived:  2,
		}

		if i >= 7 || pair == "cz" {
			p.State, p.CurrentRoundTripTime = done, float64(i)/1000
		}
		s.pairs = append(s.pairs, p)
	}

	e := Explain{Other: End{Relay: "udp"}}
	s.fill(&e)
	want := []Checks{
		{
			Type:     LAN,
			Pair:     "host4 host4",
			Pairs:    1,
			Sent:     1,
			Received: 2,
			Answered: 1,
		},
		{
			Type:     Direct,
			Pair:     "host4 srflx4",
			Pairs:    1,
			Sent:     2,
			Received: 2,
			Answered: 1,
		},
		{
			Type:      Direct,
			Pair:      "srflx4 srflx4",
			Pairs:     3,
			Sent:      3 + 8 + 9,
			Received:  6,
			Answered:  3,
			Succeeded: 2,
			RTT:       7,
		},
		{
			Type:      RelayTCP,
			Pair:      "relay4 relay4",
			Pairs:     1,
			Sent:      4,
			Received:  2,
			Answered:  1,
			Succeeded: 1,
			RTT:       3,
		},
	}
	if !reflect.DeepEqual(e.Checks, want) {
		t.Errorf("checks\n%+v, want\n%+v", e.Checks, want)
	}

	if e.Own.Relay != "tcp" || e.Own.Candidates["relay4"] != 2 || e.Other.Candidates["srflx4"] != 1 {
		t.Errorf("own %+v, other %+v", e.Own, e.Other)
	}
	if got := (Selected{
		Type:  RelayTCP,
		Own:   "relay4",
		Other: "relay4",
		RTT:   42.1,
	}); e.Selected == nil || *e.Selected != got {
		t.Errorf("selected %+v, want %+v", e.Selected, got)
	}

	e.Other.Relay = "tls"
	if s.fill(&e); e.Selected.Type != RelayTLS {
		t.Errorf("with the other end on TLS: %s", e.Selected.Type)
	}
	path := []string{"relay4 198.18.0.1:5000", "relay4 198.18.0.1:5000"}
	if a := s.addresses(); len(a.Own) != 4 || a.Own[0] != "host4 192.168.1.2:5000" || len(a.Other) != 3 ||
		!reflect.DeepEqual(a.Path, path) {
		t.Errorf("addresses %+v", a)
	}
}

// UDP counts as blocked only once everything that could contradict that has had its time.
func TestUDPIsBlockedOnlyIfNothingContradicts(t *testing.T) {
	udp, tcp := iceStats{ours: map[string]Candidate{"a": at("relay udp")}},
		iceStats{ours: map[string]Candidate{"a": at("relay tcp")}}
	srflx := iceStats{ours: map[string]Candidate{"a": at("srflx 203.0.113.1"), "b": at("relay tcp")}}
	for name, tt := range map[string]struct {
		x    Explainer
		s    iceStats
		want string
	}{
		"nothing known": {Explainer{}, iceStats{}, "unknown"},
		"no relay either": {Explainer{probed: true, known: Explain{Own: End{Complete: true}}},
			iceStats{}, "unknown"},
		"TCP alone, so far":               {Explainer{probed: true}, tcp, "unknown"},
		"TCP alone, STUN still to answer": {Explainer{known: Explain{Own: End{Complete: true}}}, tcp, "unknown"},
		"TCP alone": {Explainer{probed: true, known: Explain{Own: End{Complete: true}}}, tcp,
			"blocked"},
		"TCP alone, and STUN has answered": {Explainer{
			probed: true,
			open:   true,
			known:  Explain{Own: End{Complete: true}},
		}, tcp, "open"},
		"TCP, and a reflexive address": {Explainer{probed: true, known: Explain{Own: End{Complete: true}}}, srflx,
			"open"},
		"UDP": {Explainer{}, udp, "open"},
	} {
		tt.x.known.Own.UDP = handshake.UDPUnknown
		if got := tt.x.explain(tt.s).Own.UDP; got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// If a device had no processor while it asked the relay over UDP, it does not blame the silence on its network.
func TestStarvedProbeBlamesNoNetwork(t *testing.T) {
	tcp := iceStats{ours: map[string]Candidate{"a": at("relay tcp")}}
	for _, tt := range []struct {
		answered bool
		waited   time.Duration
		want     string
	}{
		{false, 0, handshake.UDPBlocked},
		{false, ProbeWait / 2, handshake.UDPUnknown},
		{true, ProbeWait / 2, handshake.UDPOpen},
	} {
		x := Explainer{known: Explain{Own: End{Complete: true, UDP: handshake.UDPUnknown}}}
		x.learn(nat.UnknownMapping, tt.answered, tt.waited)
		if got := x.explain(tcp).Own.UDP; got != tt.want {
			t.Errorf("answered %t, starved for %v: UDP is %s, want %s", tt.answered, tt.waited, got, tt.want)
		}
	}
}

// Every change of the type of path is noted, up to a limit.
func TestTypesOfPathAreNoted(t *testing.T) {
	x := Explainer{start: time.Now().Add(-time.Second)}
	on := func(local, remote string) iceStats {
		return iceStats{
			ours:   map[string]Candidate{"a": at(local)},
			theirs: map[string]Candidate{"b": at(remote)},
			local:  "a",
			remote: "b",
		}
	}

	relayed, direct := on("relay udp", "relay "), on("host 192.168.1.2", "srflx 203.0.113.1")
	for range maxTypes {
		x.changed = time.Now()
		x.explain(relayed)
		x.explain(relayed)
		x.explain(direct)
	}

	types := x.explain(relayed).Types
	if len(types) != maxTypes || types[0].Type != RelayUDP || types[1].Type != Direct || types[0].At < 1000 ||
		types[0].At > 60_000 {
		t.Errorf("types %+v", types)
	}

	if e := (Explainer{}); e.explain(iceStats{}).Addresses != nil {
		t.Error("an explanation holds addresses that nobody asked for")
	}
}

// If either end hides its address, no end asks a STUN server, or waits for an answer.
func TestHiddenEndAsksNoSTUNServer(t *testing.T) {
	relay := []string{"stun:192.0.2.1:3478"}
	for _, tt := range []struct {
		name    string
		servers []string
		hides   Hiding
		asks    bool
	}{
		{"nobody hides", relay, Hiding{}, true},
		{"the viewer hides", relay, Hiding{Viewer: true}, false},
		{"the camera hides", relay, Hiding{Camera: true}, false},
		{"both hide", relay, Hiding{Viewer: true, Camera: true}, false},
		{"there is no relay", nil, Hiding{}, false},
	} {
		x := NewExplainer(ExplainerConfig{Role: "camera", Servers: tt.servers, Hides: tt.hides})
		if x.probed == tt.asks {
			t.Errorf("%s: probing is already over: %t; want the end to ask: %t", tt.name, x.probed, tt.asks)
		}
	}
}
