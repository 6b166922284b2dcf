//go:build linux

package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

// dcutrBuilt builds test/dcutr, once per test process that asks for it.
var dcutrBuilt = sync.OnceValue(func() error { return buildRig("dcutr") })

// dcutr is go-libp2p's hole punching between two hosts of a lab.
type dcutr struct {
	camera   *process
	viewer   rig
	attempts int
	cut      bool // an end has no way to the relays
}

// startDCUtR starts relays beside the relay's host, and both ends with a host of go-libp2p for each attempt. An attempt
// waits that long for a direct connection. When it returns, the ends are connected to the relays, if they can be.
func startDCUtR(t testing.TB, relay, camera, viewer *natlab.Host, attempts int, wait time.Duration) *dcutr {
	t.Helper()
	if err := dcutrBuilt(); err != nil {
		t.Fatalf("build test/dcutr: %v", err)
	}
	relays := []*natlab.Host{relay}
	for i := range observers(camera.Network().Kind, viewer.Network().Kind) - 1 {
		relays = append(relays, relay.Network().Host(fmt.Sprintf("observer%d", i+1)))
	}
	var starting []*process
	for i, h := range relays {
		starting = append(starting, startBy(t, h.Start, "dcutr", "relay", strconv.Itoa(i)))
	}
	for _, p := range starting {
		p.line(t, "ready ")
	}

	d := &dcutr{attempts: attempts}
	from := func(h *natlab.Host, role string) []string {
		args := []string{"-hosts", strconv.Itoa(attempts), "-wait", wait.String(), role}
		for _, r := range relays {
			args = append(args, addressFor(h, r).String())
		}
		return args
	}
	d.camera = startBy(t, camera.Start, "dcutr", from(camera, "camera")...)
	d.viewer = startRig(t, viewer, "dcutr", from(viewer, "viewer")...)

	for _, p := range []*process{d.camera, d.viewer.process} {
		d.cut = d.cut || p.line(t, "connected ") == "no"
	}
	return d
}

// observers returns how many relays hosts of go-libp2p need until they know their addresses (test/dcutr).
func observers(ends ...natlab.Kind) int {
	both := func(k natlab.Kind) bool { return k.IPv4 && k.IPv6 }
	if slices.ContainsFunc(ends, both) {
		return 6
	}
	return 4
}

// addressFor returns the address at which a host reaches a relay. By IPv4 it learns what its router does; by IPv6 there
// is nothing to learn.
func addressFor(h, relay *natlab.Host) netip.Addr {
	if h.Network().Kind.IPv4 {
		return relay.IPv4()
	}
	return relay.IPv6()
}

// settle waits until both ends know their addresses, or there is no way to the relays.
func (d *dcutr) settle(t testing.TB) {
	t.Helper()
	if d.cut {
		t.Log("DCUtR: no way to the relays")
		return
	}
	for _, p := range []*process{d.camera, d.viewer.process} {
		t.Logf("%s: settled %s", filepath.Base(p.Path), p.line(t, "settled "))
		p.line(t, "ready")
	}
}

// run makes all attempts between settled ends, one after the other, and returns how many milliseconds those that ended
// in a direct connection took, from the dial through the relay.
func (d *dcutr) run(t testing.TB) (direct []float64) {
	t.Helper()
	if d.cut {
		return nil
	}
	for range d.attempts {
		d.viewer.tell(t, "")
		said := d.viewer.line(t, "tried ")
		t.Logf("DCUtR: %s", said)
		words := strings.Fields(said)
		if words[0] != "direct" {
			continue
		}
		took, err := strconv.ParseFloat(words[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		direct = append(direct, took)
	}

	return direct
}

// DCUtR finds a direct path between networks whose mappings do not depend on the other end, and none where both ends'
// do. Within a minute, three attempts leave out nothing that a busy machine delays.
func TestDCUtRNeedsMappingsThatStay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cell
		attempts int
		wait     time.Duration
		goes     bool
	}{
		{cell{camera: natlab.Open, viewer: natlab.FullCone}, 3, time.Minute, true},
		{cell{camera: natlab.PortRestricted, viewer: natlab.PortRestricted}, 3, time.Minute, true},
		{cell{camera: natlab.SymmetricRandom, viewer: natlab.SymmetricRandom}, 1, 10 * time.Second, false},
	} {
		t.Run(tt.camera.Name+" and "+tt.viewer.Name, func(t *testing.T) {
			t.Parallel()
			natlab.Need(t)
			lab := natlab.New(t)
			relay, camera := lab.Public("relay"), lab.Behind("camera", tt.camera)
			d := startDCUtR(t, relay, camera, lab.Behind("viewer", tt.viewer), tt.attempts, tt.wait)
			if d.cut {
				t.Fatal("no way to the relays")
			}
			d.settle(t)
			if tt.punched = d.run(t); len(tt.punched) > 0 != tt.goes {
				t.Errorf("direct after %v ms; want a direct connection: %t", tt.punched, tt.goes)
			}
		})
	}
}
