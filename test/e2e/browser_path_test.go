package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
)

var (
	sentCandidate = regexp.MustCompile(`candidate:[^"\r\n]+`)
	hiddenAddress = regexp.MustCompile(`^candidate:\S+ [12] (?i:udp) \d+ 198\.1[89]\.\d+\.\d+ \d+ ` +
		`typ relay raddr 0\.0\.0\.0 rport 9( |$)`)
	addressIn = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f]*:[0-9a-f]+|\.local`)
)

// The page explains its path as the terminal viewer does, tells the camera what it knows about its own network, and
// hides its address when asked: then everything that it sends, opened by the camera, contains relayed candidates only.
func TestBrowserHidesItsAddress(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	url := c.URLs()[0]
	for _, browser := range []string{"chromium", "firefox"} {
		for _, hide := range []bool{false, true} {
			t.Run(browser+map[bool]string{false: " shows", true: " hides"}[hide], func(t *testing.T) {
				camera := startCamera(t, c, "front door", 2)
				path := map[bool]string{false: "^Direct$", true: "^Relayed$"}[hide]
				var s *standIn
				between := func(string) { s = standInFor(t, camera, url) }
				r := drive{Browser: browser, Policy: "plain", Sealed: true, Steps: []step{
					{"open": url}, {"hide": hide}, {"paste": camera.code(t).URI()}, {"wait": "playing", "cards": 1},
					{"tell": "stand in", "hear": true}, {"open": url}, {"wait": "playing", "cards": 1}, {"frames": 60},
					{"path": path}, {"why": true},
				}}.run(t, between)

				offers, camera2 := s.seen()
				if len(offers) == 0 {
					t.Fatal("no offer")
				}
				for _, o := range offers {
					if o.RelayOnly != hide || sentCandidate.MatchString(o.SDP) || len(o.Watch) != 22 {
						t.Errorf("offer %s", o.whole)
					}
				}

				testSealed(t, r.Sealed, hide)
				testPageExplains(t, r.Cards[0], hide)
				testCameraKnows(t, camera2, hide)
			})
		}
	}
}

// testSealed checks everything that the page sealed and sent.
func testSealed(t *testing.T, sealed []string, hide bool) {
	t.Helper()
	sent, open, networks := 0, 0, 0
	for _, text := range sealed {
		if !strings.HasPrefix(text, "{") && !strings.Contains(text, `{"`) {
			continue
		}
		if strings.Contains(text, `"type":"network"`) {
			networks++
			if found := addressIn.FindString(text); found != "" {
				t.Errorf("an address (%q) in %s", found, text)
			}
		}

		for _, candidate := range sentCandidate.FindAllString(text, -1) {
			sent++
			if !hiddenAddress.MatchString(candidate) {
				open++
				if hide || strings.Contains(candidate, "typ relay") {
					t.Errorf("the page sent %s", candidate)
				}
			}
		}
	}

	if sent == 0 || networks == 0 || (open == 0) != hide {
		t.Errorf("%d candidates sent, %d of them with an address; %d networks", sent, open, networks)
	}
}

func testPageExplains(t *testing.T, c card, hide bool) {
	t.Helper()
	var e session.Explain
	if err := json.Unmarshal([]byte(c.Record), &e); err != nil {
		t.Fatalf("record %q: %v", c.Record, err)
	}
	if found := addressIn.FindString(c.Record); found != "" {
		t.Errorf("an address (%q) in %s", found, c.Record)
	}

	path, sentence := "Direct", "direct: both are on one network"
	if hide {
		path, sentence = "Relayed", "relayed: you asked to hide your address"
	}
	if c.Path != path || c.Why != sentence || e.Summary != sentence || e.Role != "viewer" || e.RelayOnly != hide ||
		e.Selected == nil || len(e.Types) == 0 || len(e.Checks) == 0 {
		t.Errorf("path %q, because %q; %s", c.Path, c.Why, c.Record)
	}

	if want := map[bool]int{false: 0, true: 3}[hide]; len(e.WhyNot) != want {
		t.Errorf("%d rungs are better, want %d: %v", len(e.WhyNot), want, e.WhyNot)
	}

	// Chromium stops asking the relay when a path on the LAN is quick, and then knows nothing about the NAT.
	if !e.Own.Complete || hide && (e.Own.UDP != "open" || e.Own.Mapping != "unknown") || e.Other.UDP != "open" {
		t.Errorf("ends %+v and %+v", e.Own, e.Other)
	}
}

// testCameraKnows checks the camera's explanation: the candidates that it received, and what the page said about its
// network.
func testCameraKnows(t *testing.T, e session.Explain, hide bool) {
	t.Helper()
	others := 0
	for kind := range e.Other.Candidates {
		if !strings.HasPrefix(kind, "relay") {
			others++
		}
	}

	if len(e.Other.Candidates) == 0 || (others == 0) != hide || e.RelayOnly != hide ||
		hide && (e.Other.UDP != "open" || e.Other.Mapping != "unknown") {
		t.Errorf("the camera knows %+v", e.Other)
	}
}

// A session that stalls while signaling still works is replaced by another within the same watch, unless it has a
// picture again before that.
func TestBrowserReplacesStalledSession(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	url := c.URLs()[0]
	front := startTURNFront(t, c)
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}

	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			camera := startCamera(t, c, "front door", 2)
			var s *standIn
			between := func(line string) {
				switch line {
				case "stand in":
					s = standInFor(t, camera, url)
				case "silence":
					front.silence()
				}
			}

			r := drive{Browser: browser, Policy: "plain", Steps: []step{
				{"open": url}, {"hide": true}, {"paste": camera.code(t).URI()}, {"wait": "playing", "cards": 1},
				{"tell": "stand in", "hear": true}, {"open": url}, {"wait": "playing", "cards": 1}, {"frames": 30},
				{"gap": true},
				{"tell": "silence", "hear": true}, {"frames": 60},
			}}.run(t, between)

			r.Cards[0].shows(t, "front door", clips[2].Background, r.Cards[0].Element)
			offers, _ := s.seen()
			if len(offers) < 2 {
				t.Fatalf("%d sessions", len(offers))
			}
			for _, o := range offers {
				if o.Watch != offers[0].Watch {
					t.Errorf("watches %q and %q", offers[0].Watch, o.Watch)
				}
			}
			t.Logf("longest gap %s ms, %d sessions", r.Cards[0].Gap, len(offers))
		})
	}
}

// A hidden page lets the camera stop after a while, and soon has a picture when it is visible again.
func TestBrowserPausesWhenHidden(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	links := startCameraSim(t, url, 1)
	r := drive{Browser: "chromium", Policy: "plain", Steps: []step{
		{"open": links["sim-0"]}, {"wait": "playing", "cards": 1}, {"visible": false}, {"wait": "paused", "cards": 1},
		{"visible": true}, {"wait": "playing", "cards": 1}, {"frames": 20},
	}}.run(t)
	if r.Cards[0].Live != "true" {
		t.Errorf("card %+v", r.Cards[0])
	}
	t.Logf("seen again: first picture after %q ms, stream after %s ms", r.Cards[0].First, r.Cards[0].TTFF)
}
