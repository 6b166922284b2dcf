//go:build linux

package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// When either end hides its address, neither household exchanges packets with anything but the relay, and each end
// learns only relayed candidates of the other. When neither hides, the same capture shows the two households meet.
func TestHiddenOnTheWire(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		camera, viewer []string // arguments
		why            string
	}{
		{"nobody hides", nil, nil, "direct over IPv6"},
		{"the viewer hides", nil, []string{"-relay-only"}, "you asked to hide your address"},
		{"the camera hides", []string{"-relay-only"}, nil, "the camera hides its address"},
		{"both hide", []string{"-relay-only"}, []string{"-relay-only"}, "you asked to hide your address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, natlab.DualStack, natlab.DualStack, tt.camera...)
			home, person, wire := s.home.Record(), s.person.Record(), s.person.Network().Record()
			path := "relay"
			if tt.camera == nil && tt.viewer == nil {
				path = "direct"
			}
			w, code := s.onceBy(t, path, untilSettled, tt.viewer...)
			if code != 0 || !strings.HasSuffix(w.Why, tt.why) {
				t.Fatalf("exit %d, %q, %q", code, w.Why, w.Error)
			}

			strangers := s.strangers(home.Packets())
			for _, far := range s.strangers(person.Packets()) {
				// before it hears of the camera's wish it may ask for a port
				if tt.viewer == nil && tt.camera != nil && ownRouter(far) {
					continue
				}
				strangers = append(strangers, far)
			}

			direct, _ := came(wire.Packets(), s.home)
			told := append(notRelayed(w.Explain.Other.Candidates), notRelayed(w.Explain.Own.Candidates)...)
			if tt.camera == nil && tt.viewer == nil {
				if len(strangers) == 0 || direct == 0 || !slices.Contains(told, "srflx4") ||
					!slices.Contains(told, "host6") {
					t.Fatalf("nobody hides, and yet nothing is seen: %v contacted, %d packets from the camera, "+
						"candidates %q", strangers, direct, told)
				}
				return
			}

			// it gathers its own before it hears of the camera's wish, and then keeps them to itself
			if tt.viewer == nil {
				told = notRelayed(w.Explain.Other.Candidates)
			}
			if len(strangers) > 0 || direct > 0 || len(told) > 0 || w.Explain.Other.Candidates["relay4"] == 0 {
				t.Errorf("contacted: %v; %d packets from the camera's network; candidates %v and %v", strangers, direct,
					w.Explain.Own.Candidates, w.Explain.Other.Candidates)
			}

			if said := s.cams.said(); strings.Contains(said, "direct") {
				t.Errorf("the camera said:\n%s", said)
			}
		})
	}
}

// strangers returns whom a host sent to or heard from, except for the relay and what every kernel says to its
// neighbours.
func (s *scene) strangers(packets []natlab.Packet) (found []netip.AddrPort) {
	for _, p := range packets {
		far := p.Src
		if p.Out {
			far = p.Dst
		}
		a, carries := far.Addr(), p.Protocol == natlab.UDP || p.Protocol == natlab.TCP
		switch {
		case a == s.relayHost.IPv4(), a == s.relayHost.IPv6():
		case !carries && (a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsUnspecified()): // MLD, IGMP, neighbours
		case p.Protocol == natlab.ICMPv6 && slices.Contains(s.routers(), a):
		case slices.Contains(found, far):
		default:
			found = append(found, far)
		}
	}
	return found
}

// ownRouter reports whether an address opens ports: the router, or everybody who listens for UPnP.
func ownRouter(far netip.AddrPort) bool {
	return far.Addr() == netip.MustParseAddr("192.168.1.1") || far == netip.MustParseAddrPort("239.255.255.250:1900")
}

// routers returns the households' own, which ask their hosts for their neighbours' addresses.
func (s *scene) routers() (addresses []netip.Addr) {
	for _, h := range []*natlab.Host{s.home, s.person} {
		if a := h.IPv6(); a.IsValid() {
			first := a.As16()
			first[15] = 1
			addresses = append(addresses, netip.AddrFrom16(first))
		}
	}
	return addresses
}

// notRelayed returns the kinds of candidates that reveal an end's own addresses.
func notRelayed(candidates map[string]int) (kinds []string) {
	for kind, n := range candidates {
		if n > 0 && !strings.HasPrefix(kind, "relay") {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}
