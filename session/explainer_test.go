package session

import (
	"context"
	"encoding/json"
	"net"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/internal/nat"
	"github.com/peephole-cam/peephole/turn"
)

// startSTUN is a relay's two ports that answer Binding requests, as a grant names them.
func startSTUN(t *testing.T) (urls []string) {
	t.Helper()
	for range 2 {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); turn.AnswerBindings(conn) }()
		t.Cleanup(func() { conn.Close(); <-ended })
		urls = append(urls, "stun:"+conn.LocalAddr().String())
	}
	return urls
}

var addressLike = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f]*:[0-9a-f]+|\.local`)

// Both ends explain a session alike, each knows what the other says of its network, and no address is in it unless asked for.
func TestSessionIsExplained(t *testing.T) {
	for _, addresses := range []bool{false, true} {
		var camera CameraConfig
		h := newHouse(t, &camera, quiet())
		var seen struct{ viewer, camera []Path }
		onCamera := make(chan Path, 100)
		h.onPath = func(p Path) { onCamera <- p }
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		h.viewer.TURN = &TURN{URLs: startSTUN(t)}
		h.viewer.CameraTURN = h.viewer.TURN
		h.viewer.Addresses = addresses
		h.viewer.OnFrame = func(Frame) {}
		h.viewer.OnPath = func(p Path) { seen.viewer = append(seen.viewer, p) }
		v, err := NewViewer(h.viewer)
		if err != nil {
			t.Fatal(err)
		}
		complete := func(x *explainer) bool {
			return x.known.Own.Mapping == nat.NoMapping && x.known.Other.Mapping == nat.NoMapping && x.sent.Mapping == nat.NoMapping
		}
		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()
		for len(seen.camera) == 0 { // the first word of a path; the rest is told at the end
			select {
			case p := <-onCamera:
				seen.camera = append(seen.camera, p)
			case <-ctx.Done():
				t.Fatal("the camera has no path")
			}
		}
		known := func() bool {
			got := make(chan bool, 1)
			v.do(ctx, func() error { got <- complete(v.explainer); return nil })
			select {
			case yes := <-got:
				return yes
			case <-ctx.Done():
				t.Fatal("the ends never heard of each other's networks")
				return true
			}
		}
		for !known() {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := <-h.camera; err != nil {
			t.Error(err)
		}
		for len(onCamera) > 0 {
			seen.camera = append(seen.camera, <-onCamera)
		}
		testExplained(t, "viewer", seen.viewer, addresses)
		testExplained(t, "camera", seen.camera, false)
	}
}

func testExplained(t *testing.T, role string, paths []Path, addresses bool) {
	t.Helper()
	if len(paths) == 0 {
		t.Fatalf("%s: no path told", role)
	}
	for _, p := range paths {
		if p.Kind != "direct" || p.Why != "direct: both are on one network" || p.Rung() != LAN || p.Explain.Role != role || len(p.Explain.WhyNot) != 0 {
			t.Errorf("%s: %+v", role, p)
		}
		text, err := json.Marshal(p.Explain)
		if err != nil {
			t.Fatal(err)
		}
		if found := addressLike.FindString(string(text)); (found != "") != addresses {
			t.Errorf("%s: an address (%q) in %s", role, found, text)
		}
	}
	e := paths[len(paths)-1].Explain
	open := End{Candidates: e.Own.Candidates, Complete: true, Mapping: nat.NoMapping, UDP: udpOpen}
	if role == "viewer" && !reflect.DeepEqual(e.Own, open) || e.Other.Mapping != nat.NoMapping || e.Other.UDP != udpOpen || e.Own.Candidates["host4"] == 0 || e.Other.Candidates["host4"] == 0 {
		t.Errorf("%s: ends %+v and %+v", role, e.Own, e.Other)
	}
	if len(e.Rungs) != 1 || e.Rungs[0].Rung != LAN || e.Rungs[0].At <= 0 || e.Selected.Own == "" {
		t.Errorf("%s: rungs %+v, selected %+v", role, e.Rungs, e.Selected)
	}
	sum := Checks{}
	for _, c := range e.Checks {
		sum.Sent, sum.Answered, sum.Succeeded = sum.Sent+c.Sent, sum.Answered+c.Answered, sum.Succeeded+c.Succeeded
	}
	if sum.Sent == 0 || sum.Answered == 0 || sum.Succeeded == 0 {
		t.Errorf("%s: checks %+v", role, e.Checks)
	}
}

// What the other end says of its network is taken as far as it is known here.
func TestNetworkIsPlausible(t *testing.T) {
	for _, tt := range []struct{ said, want network }{
		{network{}, network{nat.UnknownMapping, "unknown", "", false}},
		{network{nat.AddressDependent, "blocked", "tls", false}, network{nat.AddressDependent, "blocked", "tls", false}},
		{network{"<b>", "of course", "pigeon", false}, network{nat.UnknownMapping, "unknown", "", false}},
		{network{nat.NoMapping, "open", "", true}, network{nat.NoMapping, "open", "", true}},
	} {
		if got := tt.said.plausible(); got != tt.want {
			t.Errorf("%+v is taken as %+v, want %+v", tt.said, got, tt.want)
		}
		x := explainer{asking: true}
		x.heard(&tt.said)
		x.heard(nil)
		if got := (network{x.known.Other.Mapping, x.known.Other.UDP, x.known.Other.Relay, x.otherAble}); got != tt.want {
			t.Errorf("%+v is heard as %+v, want %+v", tt.said, got, tt.want)
		}
	}
}

func TestStunServers(t *testing.T) {
	many := make([]string, 20)
	for i := range many {
		many[i] = "stun:192.0.2.1:3478"
	}
	for _, tt := range []struct {
		urls []string
		want string
	}{
		{[]string{"turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp", "turns:192.0.2.1:443?transport=tcp", "stun:192.0.2.1:3479"}, "192.0.2.1:3478 192.0.2.1:3479"},
		{[]string{"turn:192.0.2.1", "stun:192.0.2.1:port", "stun:192.0.2.1:65536", "http://192.0.2.1:80", "stun:[2001:db8::1]:3478", ":", ""}, ""},
		{[]string{"turn:192.0.2.1:3478"}, "192.0.2.1:3478"},
		{many, strings.TrimSpace(strings.Repeat("192.0.2.1:3478 ", maxServers))},
	} {
		var got []string
		for _, s := range stunServers(t.Context(), tt.urls) {
			got = append(got, s.String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q: %q, want %q", tt.urls, got, tt.want)
		}
	}
}

// Statistics are summed up kind by kind, best rung first, and without what could not work.
func TestChecks(t *testing.T) {
	s := statistics{
		ours:   map[string]candidate{"a": at("host 192.168.1.2"), "b": at("srflx 203.0.113.1"), "c": at("relay tcp"), "d": at("relay tls")},
		theirs: map[string]candidate{"x": at("host 192.168.1.3"), "y": at("srflx 203.0.113.2"), "z": at("relay ")},
		local:  "c", remote: "z", rtt: 0.0421,
	}
	done := webrtc.StatsICECandidatePairStateSucceeded
	for i, pair := range []string{"ax", "ay", "by", "cz", "az", "cx", "?x", "by", "by"} {
		p := webrtc.ICECandidatePairStats{LocalCandidateID: pair[:1], RemoteCandidateID: pair[1:], RequestsSent: uint64(i + 1), ResponsesReceived: 1, RequestsReceived: 2}
		if i >= 7 || pair == "cz" {
			p.State, p.CurrentRoundTripTime = done, float64(i)/1000
		}
		s.pairs = append(s.pairs, p)
	}
	e := Explain{Other: End{Relay: "udp"}}
	s.fill(&e)
	want := []Checks{
		{Rung: LAN, Pair: "host4 host4", Pairs: 1, Sent: 1, Received: 2, Answered: 1},
		{Rung: Direct, Pair: "host4 srflx4", Pairs: 1, Sent: 2, Received: 2, Answered: 1},
		{Rung: Direct, Pair: "srflx4 srflx4", Pairs: 3, Sent: 3 + 8 + 9, Received: 6, Answered: 3, Succeeded: 2, RTT: 7},
		{Rung: RelayTCP, Pair: "relay4 relay4", Pairs: 1, Sent: 4, Received: 2, Answered: 1, Succeeded: 1, RTT: 3},
	}
	if !reflect.DeepEqual(e.Checks, want) {
		t.Errorf("checks\n%+v, want\n%+v", e.Checks, want)
	}
	if e.Own.Relay != "tcp" || e.Own.Candidates["relay4"] != 2 || e.Other.Candidates["srflx4"] != 1 {
		t.Errorf("own %+v, other %+v", e.Own, e.Other)
	}
	if got := (Selected{Rung: RelayTCP, Own: "relay4", Other: "relay4", RTT: 42.1}); e.Selected == nil || *e.Selected != got {
		t.Errorf("selected %+v, want %+v", e.Selected, got)
	}
	e.Other.Relay = "tls"
	if s.fill(&e); e.Selected.Rung != RelayTLS {
		t.Errorf("with the other end on TLS: %s", e.Selected.Rung)
	}
	path := []string{"relay4 198.18.0.1:5000", "relay4 198.18.0.1:5000"}
	if a := s.addresses(); len(a.Own) != 4 || a.Own[0] != "host4 192.168.1.2:5000" || len(a.Other) != 3 || !reflect.DeepEqual(a.Path, path) {
		t.Errorf("addresses %+v", a)
	}
}

// Whether UDP is blocked is said when all that could contradict it has had its time.
func TestUDPBlocked(t *testing.T) {
	udp, tcp := statistics{ours: map[string]candidate{"a": at("relay udp")}}, statistics{ours: map[string]candidate{"a": at("relay tcp")}}
	srflx := statistics{ours: map[string]candidate{"a": at("srflx 203.0.113.1"), "b": at("relay tcp")}}
	for name, tt := range map[string]struct {
		x    explainer
		s    statistics
		want string
	}{
		"nothing known":                    {explainer{}, statistics{}, "unknown"},
		"no relay either":                  {explainer{probed: true, known: Explain{Own: End{Complete: true}}}, statistics{}, "unknown"},
		"TCP alone, so far":                {explainer{probed: true}, tcp, "unknown"},
		"TCP alone, STUN still to answer":  {explainer{known: Explain{Own: End{Complete: true}}}, tcp, "unknown"},
		"TCP alone":                        {explainer{probed: true, known: Explain{Own: End{Complete: true}}}, tcp, "blocked"},
		"TCP alone, and STUN has answered": {explainer{probed: true, open: true, known: Explain{Own: End{Complete: true}}}, tcp, "open"},
		"TCP, and a reflexive address":     {explainer{probed: true, known: Explain{Own: End{Complete: true}}}, srflx, "open"},
		"UDP":                              {explainer{}, udp, "open"},
	} {
		tt.x.known.Own.UDP = udpUnknown
		if got := tt.x.explain(tt.s).Own.UDP; got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// Every rung is noted when it comes, and no more than there is room for.
func TestRungsAreNoted(t *testing.T) {
	x := explainer{start: time.Now().Add(-time.Second)}
	on := func(local, remote string) statistics {
		return statistics{ours: map[string]candidate{"a": at(local)}, theirs: map[string]candidate{"b": at(remote)}, local: "a", remote: "b"}
	}
	relayed, direct := on("relay udp", "relay "), on("host 192.168.1.2", "srflx 203.0.113.1")
	for range maxRungs {
		x.changed = time.Now()
		x.explain(relayed)
		x.explain(relayed)
		x.explain(direct)
	}
	rungs := x.explain(relayed).Rungs
	if len(rungs) != maxRungs || rungs[0].Rung != RelayUDP || rungs[1].Rung != Direct || rungs[0].At < 1000 || rungs[0].At > 60_000 {
		t.Errorf("rungs %+v", rungs)
	}
	if e := (explainer{}); e.explain(statistics{}).Addresses != nil {
		t.Error("addresses that nobody asked for")
	}
}
