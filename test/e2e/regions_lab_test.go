//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// labRegion is one region of an operator in a lab: a relay with an address and a state of its own.
type labRegion struct {
	name  string
	host  *natlab.Host
	state string
	relay *process
}

// labRegions are an operator's regions, by their names.
type labRegions struct {
	regions map[string]*labRegion
	file    string // of the signed map
	trust   string // file of all relays' certificates
}

// newLabRegions signs a map of regions, and starts the relay of each.
func newLabRegions(t testing.TB, lab *natlab.Lab, names ...string) *labRegions {
	t.Helper()
	dir := t.TempDir()
	r := &labRegions{
		regions: make(map[string]*labRegion),
		file:    filepath.Join(dir, "regions.map"),
		trust:   filepath.Join(dir, "certificates.pem"),
	}
	var toml bytes.Buffer
	for _, name := range names {
		r.regions[name] = &labRegion{name: name, host: lab.Public(name), state: t.TempDir()}
		key, err := exec.Command(filepath.Join(binaries(t), "relay"), "regions", "key", "-state",
			r.regions[name].state).Output()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&toml, "[[region]]\nname = %q\nurl = %q\nturn = %q\n%s", name, "https://"+name+".lab",
			name+".lab:3478", key)
	}
	r.sign(t, filepath.Join(dir, "operator"), toml.Bytes())

	var certificates []byte
	for _, name := range names {
		region := r.regions[name]
		r.start(t, region)
		pem, err := os.ReadFile(filepath.Join(region.state, "self-signed.pem"))
		if err != nil {
			t.Fatal(err)
		}
		certificates = append(certificates, pem...)
	}
	if err := os.WriteFile(r.trust, certificates, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// stageRegions makes the networks, an operator's regions a and b, and the camera, which is at home at a and stands by
// at b.
func (s *scene) stageRegions(t testing.TB, command string, args ...string) *labRegions {
	t.Helper()
	return s.stageAmong(t, natlab.PortRestricted, []string{"a", "b"}, command, args...)
}

// stageAmong makes the networks, of one kind, an operator's regions, and the camera, which is at home in the first.
func (s *scene) stageAmong(
	t testing.TB,
	kind natlab.Kind,
	names []string,
	command string,
	args ...string,
) *labRegions {
	t.Helper()
	r := newLabRegions(t, s.lab, names...)
	s.networks(kind, kind)
	s.cast(t, "https://a.lab", r.trust, command, args...)
	s.link = s.cams.line(t, "pair sim-0 ")
	standby := regexp.MustCompile("home=a standby=(" + strings.Join(names[1:], "|") + ")")
	eventually(t, "the camera has a standby", func() bool { return standby.MatchString(s.cams.said()) })
	return r
}

// sign writes the signed map of the regions in toml.
func (r *labRegions) sign(t testing.TB, keys string, toml []byte) {
	t.Helper()
	plain := r.file + ".toml"
	err := os.WriteFile(plain, toml, 0o600)
	if err == nil {
		var wire []byte
		wire, err = exec.Command(filepath.Join(binaries(t), "relay"), "regions", "sign", "-state", keys, plain).Output()
		if err == nil {
			err = os.WriteFile(r.file, wire, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// start starts a region's relay, and returns once it is ready.
func (r *labRegions) start(t testing.TB, region *labRegion) {
	t.Helper()
	region.relay = startBy(t, region.host.Start, "relay", "serve", "-listen", "[::]:443", "-turn", "[::]:3478",
		"-public-url", "https://"+region.name+".lab", "-tls-self-signed", "-state", region.state, "-regions", r.file,
		"-metrics", relayMetrics)
	region.relay.line(t, "ready ")
}

// restart restarts a region's relay as an operator does, and returns once everybody is connected to it again. It
// reports whether media could go through that region before.
func (r *labRegions) restart(t testing.TB, region *labRegion) (wasInUse bool) {
	t.Helper()
	before, allocations := metricAt(t, region.host, regionConnections), metricAt(t, region.host, regionAllocations)
	region.relay.stop() // by SIGTERM: it drains
	r.start(t, region)
	r.awaitEverybody(t, region, before)
	return allocations > 0
}

// The metrics that count a relay's clients of signaling, and TURN's allocations.
const (
	regionConnections = "peephole_signaling_connections"
	regionAllocations = "peephole_turn_allocations"
)

// awaitEverybody waits until a region has as many clients as it should have.
func (r *labRegions) awaitEverybody(t testing.TB, region *labRegion, want float64) {
	t.Helper()
	eventually(t, "everybody is back at region "+region.name, func() bool {
		return metricAt(t, region.host, regionConnections) >= want
	})
}

// A page that is open goes on to the camera's standby when home is killed, and is not loaded again.
func TestBrowserGoesOnToTheStandby(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			s := &scene{lab: natlab.New(t)}
			r := s.stageRegions(t, "camera-sim")
			between := func(string) { r.regions["a"].relay.kill() }
			d := drive{Browser: browser, Policy: "plain", TrustAll: true, by: s.person.Start, Steps: []step{
				{"open": s.link}, {"wait": "playing", "cards": 1}, {"frames": 30},
				{"visible": false}, {"wait": "paused", "cards": 1}, {"tell": "kill home", "hear": true},
				{"visible": true}, {"wait": "playing", "cards": 1}, {"frames": 30},
			}}

			c := d.run(t, between).Cards[0]
			if c.Live != "true" || c.Rejected != "" || c.Alarm != "" {
				t.Errorf("card %+v", c)
			}
			t.Logf("by the standby: first picture after %q ms, stream after %s ms", c.First, c.TTFF)
		})
	}
}
