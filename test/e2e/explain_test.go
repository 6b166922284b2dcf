//go:build linux

package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

var anAddress = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f]*::`)

// Between real networks, the terminal and the camera's log say which path a session takes and why it is not a better
// one.
func TestSessionsExplainThemselves(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		camera, viewer   natlab.Kind
		says, cameraSays string // either path to the relay will do
	}{
		{natlab.Open, natlab.Firewall, "direct: both have public addresses",
			`rung=direct why="direct: both have public addresses"`},
		{natlab.PortRestricted, natlab.PortRestricted, "direct: through a hole punched in the routers between",
			`rung=direct why="direct: through a hole`},
		{natlab.DualStack, natlab.DualStack, "direct over IPv6", `rung=ipv6 why="direct over IPv6"`},
		{natlab.SymmetricRandom, natlab.SymmetricRandom, ": both networks use symmetric NAT",
			": both networks use symmetric NAT"},
		// Once settled: they begin relayed, and then guess ports.
		{natlab.PortRestricted, natlab.SymmetricRandom, "direct: through a hole punched in the routers between",
			`rung=direct why="direct: through a hole`},
		{natlab.SymmetricRandom, natlab.PortRestricted, "direct: through a hole punched in the routers between",
			`rung=direct why="direct: through a hole`},
		{natlab.PortRestricted, natlab.UDPBlocked, ": this network blocks UDP", ": the viewer's network blocks UDP"},
		{natlab.UDPBlocked, natlab.PortRestricted, ": the camera's network blocks UDP", ": this network blocks UDP"},
		{natlab.Only443, natlab.UDPBlocked, ": both networks block UDP", ": both networks block UDP"},
		{natlab.PortRestricted, natlab.NAT64, "direct: through a hole punched in the routers between",
			`rung=direct why="direct: through a hole`},
		{natlab.IPv6Only, natlab.PortRestricted, ": this network has IPv4 alone, and the camera's network IPv6",
			": this network has IPv6 alone, and the viewer's network IPv4"},
	} {
		t.Run(tt.camera.Name+" and "+tt.viewer.Name, func(t *testing.T) {
			s := newScene(t, tt.camera, tt.viewer)
			watching := startBy(t, s.person.Start, "viewer", append(s.flags, "watch", "sim-0")...)
			// ports may have been guessed before it was clear why there is no direct path
			guessed := func(p *process) bool {
				return natlab.Guessable(tt.camera, tt.viewer) && strings.Contains(p.said(), "direct: ")
			}
			eventually(t, "the viewer says "+tt.says, func() bool {
				return strings.Contains(watching.said(), tt.says) || guessed(watching)
			})
			eventually(t, "the camera says "+tt.cameraSays, func() bool {
				return strings.Contains(s.cams.said(), tt.cameraSays) || guessed(s.cams)
			})
			watching.stop()
			t.Logf("the viewer said:\n%s", watching.said())
			for who, said := range map[string]string{"viewer": watching.said(), "camera": s.cams.said()} {
				if found := anAddress.FindString(said); found != "" {
					t.Errorf("the %s says an address, %s:\n%s", who, found, said)
				}
			}
		})
	}
}
