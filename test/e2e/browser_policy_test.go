package e2e

import (
	"net/url"
	"strings"
	"testing"
)

// In both browsers, code that got into the page could not turn text into script or markup, start a worker, or connect
// to anybody but the page's own relay.
func TestBrowserIsHeldToItsPolicy(t *testing.T) {
	t.Parallel()
	own, other := startRelayCommand(t), startRelayCommand(t)
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			r := drive{Browser: browser, Policy: "plain", Steps: []step{
				{"open": own + "/?relay=" + url.QueryEscape(other)}, {"empty": true}, {"forbidden": other},
			}}.run(t)
			if len(r.Through) > 0 {
				t.Errorf("%s lets through: %s", r.Version, strings.Join(r.Through, ", "))
			}

			if r.Address != own+"/" {
				t.Errorf("a relay that nobody chose stays in the address %s", r.Address)
			}
		})
	}
}

// The page of one relay adds a camera of another, by a pasted or opened link, and shows both again when it is opened at
// its plain address: also those it once stored under 8 bytes of their fingerprints.
func TestBrowserReachesTheRelaysOfItsCameras(t *testing.T) {
	t.Parallel()
	own, other := startRelayCommand(t), startRelayCommand(t)
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			home := startCameraSim(t, own, 1)["sim-0"]
			away := startCameraSim(t, other, 2)
			opened := own + "/pair#" + away["sim-1"]
			r := drive{Browser: browser, Policy: "plain", Steps: []step{
				{"open": home}, {"wait": "playing", "cards": 1},
				{"paste": away["sim-0"]}, {"wait": "playing", "cards": 2},
				{"open": opened}, {"wait": "playing", "cards": 3},
				{"shorten": true}, {"open": own + "/"}, {"wait": "playing", "cards": 3},
			}}.run(t)

			if want := own + "/?relay=" + url.QueryEscape(other); r.Address != want {
				t.Errorf("the page is at %s, want %s", r.Address, want)
			}
			for _, c := range r.Cards {
				if len(c.Camera) != 64 {
					t.Errorf("%s is kept under %q, want the whole fingerprint", c.Name, c.Camera)
				}
			}
		})
	}
}
