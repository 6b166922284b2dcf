//go:build linux

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/natlab"
)

// Whatever happens to the network of a page under way, its picture comes back by itself.
func TestBrowserSurvives(t *testing.T) {
	t.Parallel()
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			s := newStage(t, natlab.PortRestricted, natlab.PortRestricted, "camera-sim")
			between := func(line string) {
				switch line {
				case "rebind":
					s.person.Network().Rebind()
				case "dark":
					s.person.Network().Down()
					// this waits for no state: it is how long the line is dark
					<-time.After(3 * time.Second)
					s.person.Network().Up()
				case "move":
					s.person.Move(s.lab.Network(natlab.SymmetricRandom))
				}
			}

			happens := []string{"rebind", "dark", "move"}
			steps := []step{{"open": s.link}, {"wait": "playing", "cards": 1}, {"frames": 60}, {"path": true},
				{"keep": true}}
			for _, what := range happens {
				steps = append(steps, step{"gap": true}, step{"tell": what, "hear": true}, step{"frames": 120},
					step{"keep": true})
			}

			r := drive{
				Browser:  browser,
				Policy:   "plain",
				TrustAll: true,
				Steps:    steps,
				by:       s.person.Start,
			}.run(t, between)

			r.Cards[0].shows(t, "sim-0", clips[0].Background, r.Cards[0].Element)
			t.Logf("at first: %s", r.Kept[0].Why)
			for i, what := range happens {
				t.Logf("%s: longest gap %s ms; %s", what, r.Kept[i+1].Gap, r.Kept[i+1].Why)
			}
		})
	}
}

// When the page or the camera hides, the page's device exchanges packets with the relay and nobody else, and the page
// says why. When neither hides, the same capture shows the two households meet.
func TestBrowserHidesOnTheWire(t *testing.T) {
	t.Parallel()
	for _, browser := range []string{"chromium", "firefox"} {
		for _, tt := range []struct {
			name   string
			hide   bool
			camera []string
			why    string
		}{
			{"nobody hides", false, nil, ""},
			{"the page hides", true, nil, "you asked to hide your address"},
			{"the camera hides", false, []string{"-relay-only"}, "the camera hides its address"},
		} {
			t.Run(browser+", "+tt.name, func(t *testing.T) {
				s := newStage(t, natlab.DualStack, natlab.DualStack, "camera-sim", tt.camera...)
				person, home, wire := s.person.Record(), s.home.Record(), s.person.Network().Record()
				page, _, _ := strings.Cut(s.link, "/pair")
				path := map[bool]string{false: "Direct", true: "Relayed"}[tt.why != ""] // once settled
				r := drive{
					Browser:  browser,
					Policy:   "plain",
					TrustAll: true,
					by:       s.person.Start,
					Steps: []step{
						{"open": page + "/"}, {"hide": tt.hide}, {"open": s.link}, {"wait": "playing", "cards": 1},
						{"frames": 60}, {"path": path}, {"why": true},
					},
				}.run(t)

				strangers := append(s.strangers(person.Packets()), s.strangers(home.Packets())...)
				direct, _ := came(wire.Packets(), s.home)
				if c := r.Cards[0]; c.Path != path || !strings.HasSuffix(c.Why, tt.why) {
					t.Errorf("%s, because %q; %s", c.Path, c.Why, c.Record)
				}

				if (len(strangers)+direct == 0) != (tt.why != "") {
					t.Errorf("contacted: %v; %d packets from the camera's network", strangers, direct)
				}
			})
		}
	}
}
