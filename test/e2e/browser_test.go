package e2e

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rsc.io/qr"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// Both browsers pair by opening the camera's link, and the picture of each camera, Baseline and High, advances: with
// the default candidate policy (mDNS names) and without, and in Chromium by either carrier. Behind both, the browser's
// own decoder gets something to decode.
func TestBrowserWatches(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name    string
		drive   drive
		element string
	}{
		{"chromium, H.264-shaped", drive{Browser: "chromium", Policy: "plain"}, "video"},
		{"chromium, H.264-shaped, mDNS names", drive{Browser: "chromium", Policy: "default"}, "video"},
		{"chromium, VP8-shaped", drive{Browser: "chromium", Policy: "plain", HideH264: true}, "canvas"},
		{"firefox, VP8-shaped", drive{Browser: "firefox", Policy: "plain"}, "canvas"},
		{"firefox, VP8-shaped, mDNS names", drive{Browser: "firefox", Policy: "default"}, "canvas"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			links := startCameraSim(t, url, 2)
			tt.drive.Steps = []step{
				{"open": links["sim-0"]}, {"wait": "playing", "cards": 1},
				{"open": links["sim-1"]}, {"wait": "playing", "cards": 2},
				{"frames": 20}, {"decoded": 20}, {"path": "^Direct$"},
			}

			r := tt.drive.run(t)
			if len(r.Cards) != 2 {
				t.Fatalf("%d cards, want 2", len(r.Cards))
			}
			r.Cards[0].shows(t, "sim-0", clips[0].Background, tt.element) // Constrained Baseline
			r.Cards[1].shows(t, "sim-1", clips[1].Background, tt.element) // High
			for _, c := range r.Cards {
				if c.Path != "Direct" || c.Why == "" {
					t.Errorf("%s: path %q, because %q; want a direct one, and why", c.Name, c.Path, c.Why)
				}
			}

			if strings.Contains(r.Address, "#") {
				t.Errorf("the pairing link stays in the address bar: %s", r.Address)
			}
		})
	}
}

// A session that breaks while a candidate arrives recovers by itself; nothing waits for the broken one.
func TestBrowserComesBack(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	links := startCameraSim(t, url, 1)
	r := drive{Browser: "chromium", Policy: "plain", BreakFirst: true, Steps: []step{
		{"open": links["sim-0"]}, {"wait": "playing", "cards": 1}, {"frames": 20},
	}}.run(t)
	if r.Cards[0].Live != "true" {
		t.Errorf("card %+v", r.Cards[0])
	}
}

// Two tabs of one browser watch at the same time.
func TestTwoTabsWatchAtOnce(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	links := startCameraSim(t, url, 1)
	for _, browser := range []string{"chromium"} {
		r := drive{Browser: browser, Policy: "plain", Steps: []step{
			{"open": links["sim-0"]}, {"wait": "playing", "cards": 1}, {"tab": url}, {"wait": "playing", "cards": 1},
			{"frames": 20},
		}}.run(t)
		if len(r.Cards) != 1 || r.Cards[0].Live != "true" {
			t.Errorf("%s: second tab: %+v", browser, r.Cards)
		}
	}
}

// The page pairs by a pasted link, by a picture of the QR code and by the lens, and says in plain words why a code is
// no good.
func TestBrowserPairs(t *testing.T) {
	t.Parallel()
	need(t, "ffmpeg")
	url := startRelayCommand(t)
	links := startCameraSim(t, url, 3)
	picture := drawCode(t, links["sim-1"])
	lens := drawLens(t, drawCode(t, links["sim-2"]))
	r := drive{Browser: "chromium", Policy: "plain", Lens: lens, Steps: []step{
		{"open": url}, {"paste": links["sim-0"]}, {"wait": "playing", "cards": 1},
		{"picture": picture}, {"wait": "playing", "cards": 2},
		{"lens": lens}, {"wait": "playing", "cards": 3},
	}}.run(t)

	for i, want := range []string{"sim-0", "sim-1", "sim-2"} {
		if r.Cards[i].Name != want {
			t.Errorf("card %d is %q, want %q", i, r.Cards[i].Name, want)
		}
	}

	for _, tt := range []struct{ name, link, sentence string }{
		{"used", links["sim-0"], "already been used"},
		{"torn", links["sim-0"][:len(links["sim-0"])-3], "damaged or incomplete"},
		{"foreign", "https://example.com/menu", "not a Peephole pairing code"},
	} {
		r := drive{
			Browser: "chromium",
			Policy:  "plain",
			Steps:   []step{{"open": url}, {"paste": tt.link}, {"error": true}},
		}.run(t)
		if !strings.Contains(r.Error, tt.sentence) {
			t.Errorf("%s: %q, want %q", tt.name, r.Error, tt.sentence)
		}
	}
}

// drawCode draws a QR code as a photo of it would look, and returns the PNG's path.
func drawCode(t *testing.T, text string) string {
	t.Helper()
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	const module, margin = 8, 4
	side := (code.Size + 2*margin) * module
	picture := image.NewGray(image.Rect(0, 0, side, side))

	for y := range side {
		for x := range side {
			shade := uint8(250)
			if code.Black(x/module-margin, y/module-margin) {
				shade = 20
			}
			picture.SetGray(x, y, color.Gray{Y: shade})
		}
	}

	path := filepath.Join(t.TempDir(), "code.png")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	if err := png.Encode(file, picture); err != nil {
		t.Fatal(err)
	}
	return path
}

// The page refuses a stream that no browser can play in real time, and says why and what to do.
func TestBrowserIsToldOfBFrames(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	link := startCameraCommand(t, url, "-input", "../../media/testdata/bframes.h264")
	r := drive{Browser: "chromium", Policy: "plain", Steps: []step{{"open": link}, {"message": "B-frames"}}}.run(t)
	if c := r.Cards[0]; c.State == "playing" || !regexp.MustCompile("B-frames").MatchString(c.Message) {
		t.Errorf("card %+v, want the word B-frames and no picture", c)
	}
}

// While the relay delivers something that is not from the camera, the page shows a sentence and nothing else. When the
// fault is over, the picture comes by itself: promise 4.
func TestBrowserUnderTamperingRelay(t *testing.T) {
	t.Parallel()
	c := startCloud(t, remembering)
	camera, url := startCamera(t, c, "front door", 2), c.URLs()[0]
	honest, tampering := step{"tell": "honest", "hear": true}, step{"tell": "tamper", "hear": true}
	told := func() int64 { return c.Rejected()[[2]string{eastern, eastern}] }
	for _, browser := range []string{"chromium", "firefox"} {
		before := told()
		d := drive{Browser: browser, Policy: "plain", Steps: []step{
			{"open": url}, {"paste": camera.code(t).URI()}, {"wait": "playing", "cards": 1},
			tampering, {"open": url}, {"alarm": true},
		}}
		between := func(line string) {
			if line == "honest" {
				c.Heal()
				return
			}

			// messages to the camera still arrive, so that there is an answer to tamper with
			inbox := lastOffer(t, c).Name
			c.SetDelivery(func(to *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
				if name == inbox {
					return []evilcloud.Parcel{{Name: name, Message: m}}
				}
				return evilcloud.FlippedAt(func(body []byte) int { return len(body) - 1 })(to, name, m)
			})
		}

		during := d.run(t, between)
		if card := during.Cards[0]; card.State == "playing" || card.Frames != "" ||
			card.Alarm != "The relay delivered something that is not from your camera; nothing was shown." {
			t.Errorf("%s under the fault: %+v", browser, card)
		} else if card.Rejected == "" || card.Rejected == "0" {
			t.Errorf("%s counts %q things that did not open", browser, card.Rejected)
		}

		eventually(t, browser+" reports it to the relay", func() bool { return told() != before })
		between("honest")
		d.Steps = []step{
			{"open": url}, {"paste": camera.code(t).URI()}, {"wait": "playing", "cards": 1},
			tampering, {"open": url}, {"alarm": true}, honest, {"wait": "playing", "cards": 1}, {"frames": 10},
			{"quiet": true},
		}

		if after := d.run(t, between); after.Cards[0].State != "playing" {
			t.Errorf("%s after the fault: %+v", browser, after.Cards[0])
		}
	}
}
