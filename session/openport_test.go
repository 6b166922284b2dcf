package session

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/signaling"
)

// opening is a router that opens any port until ctx ends, at each of its outside addresses in turn. It refuses if it
// has none.
type opening struct {
	asked   []netip.AddrPort
	outside []netip.AddrPort
	ended   bool
}

func (o *opening) Map(ctx context.Context, inside netip.AddrPort, found func(netip.AddrPort)) error {
	o.asked = append(o.asked, inside)
	for _, a := range o.outside {
		found(a)
	}
	if len(o.outside) == 0 {
		return errors.New("refused")
	}

	<-ctx.Done()
	o.ended = true
	return nil
}

func hostCandidate(address string) *webrtc.ICECandidate {
	return &webrtc.ICECandidate{
		Foundation: "7",
		Priority:   2130706431,
		Address:    address,
		Protocol:   webrtc.ICEProtocolUDP,
		Port:       50000,
		Typ:        webrtc.ICECandidateTypeHost,
		Component:  1,
	}
}

// An opened port becomes a server reflexive candidate that names nothing inside the network.
func TestMappedCandidate(t *testing.T) {
	m := candidateMessage(outgoing(mapped(*hostCandidate("192.168.1.2"), netip.MustParseAddrPort("203.0.113.7:50001"))))
	const want = "candidate:mapped7 1 udp 1694498559 203.0.113.7 50001 typ srflx raddr 0.0.0.0 rport 9"
	if m.Type != "candidate" || m.Candidate != want {
		t.Errorf("got  %q\nwant %q", m.Candidate, want)
	}
}

// An end asks a router only for ports that a router could open.
func TestRoutersAreAskedOnlyForWhatTheyCanOpen(t *testing.T) {
	relayed, stream := hostCandidate("192.168.1.2"), hostCandidate("192.168.1.2")
	relayed.Typ, stream.Protocol = webrtc.ICECandidateTypeRelay, webrtc.ICEProtocolTCP
	for _, tt := range []struct {
		name string
		c    *webrtc.ICECandidate
		want bool
	}{
		{"at home", hostCandidate("192.168.1.2"), true},
		{"at home, larger", hostCandidate("10.1.2.3"), true},
		{"at a carrier's", hostCandidate("100.64.7.8"), true},
		{"public", hostCandidate("203.0.113.9"), false},
		{"IPv6", hostCandidate("fd00::2"), false},
		{"a name", hostCandidate("x.local"), false},
		{"relayed", relayed, false},
		{"TCP", stream, false},
		{"the end", nil, false},
	} {
		if got := opens(tt.c); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// Each end keeps its port open while the session lasts, and tells the other end, unless it hides its address or both
// ends are on one machine.
func TestPortIsOpened(t *testing.T) {
	first, second := netip.MustParseAddrPort("203.0.113.7:50001"), netip.MustParseAddrPort("203.0.113.8:50002")
	for _, tt := range []struct {
		name      string
		relayOnly bool
		loopback  bool
		outside   []netip.AddrPort
		asked     int
		sent      int
	}{
		{"opened", false, false, []netip.AddrPort{first}, 1, 2},
		{"moved", false, false, []netip.AddrPort{first, second}, 1, 3},
		{"refused", false, false, nil, 1, 1},
		{"hidden", true, false, []netip.AddrPort{first}, 0, 1},
		{"on this machine", false, true, []netip.AddrPort{first}, 0, 1},
	} {
		cameraKeys, viewerKeys := agreedKeys(t)
		for _, end := range []string{"camera", "viewer"} {
			ctx, cancel := context.WithCancel(t.Context())
			router := &opening{outside: tt.outside}
			box := newOutbox(nil, signaling.Mailbox{}, quiet())
			events := make(chan func() error, 8)
			var err error
			var wait func()

			if end == "camera" {
				c := &Camera{
					cfg:     CameraConfig{PortMapper: router, Loopback: tt.loopback, Logger: quiet()},
					offer:   &handshake.Offer{RelayOnly: tt.relayOnly},
					events:  events,
					outbox:  box,
					peer:    &peer{offered: make(quota)},
					records: cameraKeys,
				}
				err, wait = c.candidate(ctx, hostCandidate("192.168.1.2")), c.work.Wait
			} else {
				v := &Viewer{
					cfg: ViewerConfig{
						PortMapper: router,
						Loopback:   tt.loopback,
						RelayOnly:  tt.relayOnly,
						Logger:     quiet(),
					},
					events:  events,
					outbox:  box,
					peer:    &peer{offered: make(quota)},
					records: viewerKeys,
				}
				err, wait = v.candidate(ctx, hostCandidate("192.168.1.2")), v.tracks.Wait
			}

			if err != nil {
				t.Fatal(err)
			}
			for range tt.sent - 1 {
				if err := (<-events)(); err != nil {
					t.Error(err)
				}
			}

			cancel()
			wait()
			if len(router.asked) != tt.asked || len(box.queue) != tt.sent || len(events) > 0 ||
				tt.asked > 0 && router.ended != (tt.outside != nil) {
				t.Errorf("%s, %s: asked for %v, %d candidates sent, ended %v", end, tt.name, router.asked,
					len(box.queue), router.ended)
			}

			if tt.asked > 0 && !strings.HasPrefix(router.asked[0].String(), "192.168.1.2:50000") {
				t.Errorf("%s, %s: asked for %v", end, tt.name, router.asked)
			}
		}
	}
}

// A port that was opened before the camera's answer is closed if the answer says that the camera hides.
func TestPortIsClosedIfTheCameraHides(t *testing.T) {
	router := &opening{outside: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:50001")}}
	ports, closePorts := context.WithCancel(t.Context())
	v := &Viewer{
		cfg:        ViewerConfig{PortMapper: router, Logger: quiet()},
		events:     make(chan func() error, 8),
		peer:       &peer{offered: make(quota)},
		outbox:     newOutbox(nil, signaling.Mailbox{}, quiet()),
		explainer:  &path.Explainer{},
		closePorts: closePorts,
	}

	if err := v.candidate(ports, hostCandidate("192.168.1.2")); err != nil {
		t.Fatal(err)
	}
	v.hideToo()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		v.tracks.Wait()
	}()

	select {
	case <-gone:
	case <-time.After(patience):
		closePorts()
		t.Fatal("the port stays open")
	}

	_, v.records = agreedKeys(t)
	for len(v.events) > 0 {
		if err := (<-v.events)(); err != nil {
			t.Error(err)
		}
	}

	if !router.ended || len(v.outbox.queue) != 0 || len(router.asked) != 1 {
		t.Errorf("asked for %v, ended %v, %d candidates sent", router.asked, router.ended, len(v.outbox.queue))
	}
}

// Without a TURN server, an end offers its ports as circuit relays would see them, and asks its router as well.
func TestPortsAreGuessedWithoutATURNServer(t *testing.T) {
	router := &opening{outside: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.9:7000")}}
	seen := []netip.Addr{netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("2001:db8::5"),
		netip.MustParseAddr("10.0.0.2")}
	elsewhere := netip.MustParseAddr("198.51.100.5")
	source := func(_, to string) netip.Addr {
		if strings.HasPrefix(to, elsewhere.String()) {
			return netip.MustParseAddr("10.8.0.1") // a VPN's
		}
		return netip.MustParseAddr("10.0.0.2")
	}
	stun := &handshake.TURN{URLs: []string{"stun:192.0.2.1:4001"}}
	turn := &handshake.TURN{URLs: []string{"turn:192.0.2.1:7881?transport=udp"}}

	for _, tt := range []struct {
		name    string
		mapper  PortMapper
		seen    []netip.Addr
		servers *handshake.TURN
		want    string
	}{
		{"seen by a relay", nil, seen, stun, "203.0.113.5:4000"},
		{"seen by a relay, behind a router that opens ports", router, seen, stun, "203.0.113.5:4000 203.0.113.9:7000"},
		{"seen by many", nil, slices.Repeat(seen[:1], 20), stun, "203.0.113.5:4000 203.0.113.5:4000"},
		{"seen by a relay, by another way", nil, []netip.Addr{elsewhere}, stun, ""},
		{"on the LAN, where nobody else hears of it", router, seen, nil, "203.0.113.9:7000"},
		{"with a TURN server, which knows", router, seen, turn, "203.0.113.9:7000"},
		{"seen by nobody", router, nil, nil, "203.0.113.9:7000"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		note := func(a netip.AddrPort) { got = append(got, a.String()) }
		done := make(chan struct{})
		go func() {
			defer close(done)
			m := portMapper(tt.mapper, tt.seen, tt.servers)
			if p, ok := m.(preservedPorts); ok {
				p.source = source
				m = p
			}
			_ = m.Map(ctx, netip.MustParseAddrPort("10.0.0.2:4000"), note)
		}()
		cancel()
		<-done
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if m := portMapper(nil, seen, turn); m != nil {
		t.Errorf("there is something to ask: %v", m)
	}
}
