package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"github.com/peephole-cam/peephole/internal/evilcloud"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// A step is one of web/test/browser/drive.mjs.
type step map[string]any

// drive is what web/test/browser/drive.mjs is told.
type drive struct {
	Browser    string `json:"browser"` // "chromium" or "firefox"
	Policy     string `json:"policy"`  // "plain": host candidates by address; "default": by mDNS name
	HideH264   bool   `json:"hideH264"`
	Lens       string `json:"lens,omitempty"`
	RelayOnly  bool   `json:"relayOnly"`        // no candidates but relayed ones
	BreakFirst bool   `json:"breakFirst"`       // the first session breaks while it is given a candidate
	TrustAll   bool   `json:"trustAll"`         // any certificate
	Sealed     bool   `json:"sealed"`           // keep what the page seals, in the clear
	Within     int    `json:"within,omitempty"` // of every wait, in milliseconds; 0: 30 s
	Steps      []step `json:"steps"`

	by func(*exec.Cmd) error // starts the browser; nil: on this machine
}

// driven is what it saw.
type driven struct {
	Version string    `json:"version"`
	Errors  []string  `json:"errors"`
	Failed  string    `json:"failed"`
	Error   string    `json:"error"`
	Address string    `json:"address"`
	Cards   []card    `json:"cards"`
	First   []float64 `json:"first"` // time to first picture of each session, ms; -1: none before the stream
	TTFF    []float64 `json:"ttff"`  // time to the stream's first frame, ms
	Gaps    []float64 `json:"gaps"`  // between the pictures that the first card showed, ms
	Sealed  []string  `json:"sealed"`
	Kept    []card    `json:"kept"` // the first card, at each step that keeps it
}

type card struct {
	Name, State, Message, Alarm, Path, Why, Record, Live, Element, Frames, Rejected, First, TTFF, Gap string
	Size                                                                                              [2]int
	Corner                                                                                            [3]int
}

// oneBrowser keeps two browsers from fighting over two cores.
var oneBrowser = make(chan struct{}, 1)

// run drives the browser. Where a step tells a line, between is called with it.
func (d drive) run(t testing.TB, between ...func(line string)) driven {
	t.Helper()
	need(t, "node", map[string]string{"chromium": "chromium", "firefox": "firefox-esr"}[d.Browser])
	if _, err := os.Stat("../../web/node_modules/puppeteer-core"); err != nil {
		missing(t, "web/node_modules: run make test, or npm ci in web")
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	oneBrowser <- struct{}{}
	defer func() { <-oneBrowser }()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "test/browser/drive.mjs", string(text))
	cmd.Dir = "../../web"
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	begin := cmd.Start
	if d.by != nil {
		begin = func() error { return d.by(cmd) }
	}
	if err := errors.Join(err1, err2, begin()); err != nil {
		t.Fatal(err)
	}
	var r driven
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			continue
		}
		for _, f := range between {
			f(lines.Text())
		}
		fmt.Fprintln(stdin, "go on")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("drive %s: %v\n%s", d.Browser, err, complaint.Bytes())
	}
	if r.Failed != "" || len(r.Errors) > 0 {
		t.Fatalf("%s: %s %q", r.Version, r.Failed, r.Errors)
	}
	t.Log(r.Version)
	return r
}

// need wants programs of the machine; see missing.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+": run make deps")
		}
	}
}

// missing skips a test on a developer's machine and fails it in CI, where every tier must run.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("missing: %s", what)
	}
	t.Skipf("missing: %s", what)
}

// shows checks that a card shows a clip's picture, live.
func (c card) shows(t *testing.T, name string, background color.RGBA, element string) {
	t.Helper()
	if !near(c.Corner, background) {
		t.Errorf("%s shows colour %v, want %v: somebody else's picture?", name, c.Corner, background)
	}
	if c.Name != name || c.State != "playing" || c.Live != "true" || c.Element != element || c.Size != [2]int{640, 360} || c.Rejected != "" || c.Alarm != "" {
		t.Errorf("card %+v, want %q live in a %s", c, name, element)
	}
}

// near compares a pixel with a clip's background, as far as encoders and colour spaces leave it.
func near(pixel [3]int, background color.RGBA) bool {
	for i, want := range []uint8{background.R, background.G, background.B} {
		if d := pixel[i] - int(want); d < -12 || d > 12 {
			return false
		}
	}
	return true
}

// Both browsers pair by opening the camera's link and see the picture of each camera, Baseline and High, advance; with the
// default candidate policy (mDNS names) and without; Chromium by either carrier. The browser's own decoder has something to decode behind both.
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
				{"frames": 20}, {"decoded": 20}, {"path": true},
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

// A session that breaks while a candidate arrives comes back by itself: nothing waits for the broken one.
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

// Two tabs of one browser watch at once.
func TestBrowserTwoTabs(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	links := startCameraSim(t, url, 1)
	for _, browser := range []string{"chromium"} {
		r := drive{Browser: browser, Policy: "plain", Steps: []step{
			{"open": links["sim-0"]}, {"wait": "playing", "cards": 1}, {"tab": url}, {"wait": "playing", "cards": 1}, {"frames": 20},
		}}.run(t)
		if len(r.Cards) != 1 || r.Cards[0].Live != "true" {
			t.Errorf("%s: second tab: %+v", browser, r.Cards)
		}
	}
}

// The page pairs by a pasted link, by a picture of the QR code and by the lens, and says in plain words why a code is no good.
func TestBrowserPairs(t *testing.T) {
	t.Parallel()
	need(t, "ffmpeg")
	url := startRelayCommand(t)
	links := startCameraSim(t, url, 3)
	picture := drawCode(t, links["sim-1"])
	lens := filepath.Join(t.TempDir(), "lens.y4m")
	if out, err := exec.Command("ffmpeg", "-v", "error", "-loop", "1", "-i", drawCode(t, links["sim-2"]), "-t", "1", "-vf", "scale=640:640:flags=neighbor,format=yuv420p", lens).CombinedOutput(); err != nil {
		t.Fatalf("make the lens' picture: %v\n%s", err, out)
	}
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
		r := drive{Browser: "chromium", Policy: "plain", Steps: []step{{"open": url}, {"paste": tt.link}, {"error": true}}}.run(t)
		if !strings.Contains(r.Error, tt.sentence) {
			t.Errorf("%s: %q, want %q", tt.name, r.Error, tt.sentence)
		}
	}
}

// drawCode makes a PNG of a QR code, as a photo of it would be.
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

// A stream that no browser can play in real time is refused, and the page says why and what to do.
func TestBrowserIsToldOfBFrames(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	link := startCameraCommand(t, url, "-input", "../../media/testdata/bframes.h264")
	r := drive{Browser: "chromium", Policy: "plain", Steps: []step{{"open": link}, {"message": "B-frames"}}}.run(t)
	if c := r.Cards[0]; c.State == "playing" || !regexp.MustCompile("B-frames").MatchString(c.Message) {
		t.Errorf("card %+v, want the word B-frames and no picture", c)
	}
}

// Under a relay that delivers what is not the camera's, the page shows a sentence and nothing else; and the picture by itself
// when the fault is over: promise 4.
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
			inbox := lastOffer(t, c).Name // what is for the camera still reaches it, so that there is something to tamper with
			c.SetDelivery(func(to *evilcloud.Mailboxes, name [32]byte, m bus.Message) []evilcloud.Parcel {
				if name == inbox {
					return []evilcloud.Parcel{{Name: name, Message: m}}
				}
				return evilcloud.FlippedAt(func(body []byte) int { return len(body) - 1 })(to, name, m)
			})
		}
		during := d.run(t, between)
		if card := during.Cards[0]; card.State == "playing" || card.Frames != "" || card.Alarm != "The relay delivered something that is not from your camera; nothing was shown." {
			t.Errorf("%s under the fault: %+v", browser, card)
		} else if card.Rejected == "" || card.Rejected == "0" {
			t.Errorf("%s counts %q things that did not open", browser, card.Rejected)
		}
		if now := told(); now == before {
			t.Errorf("%s told the relay of nothing", browser)
		}
		between("honest")
		d.Steps = []step{
			{"open": url}, {"paste": camera.code(t).URI()}, {"wait": "playing", "cards": 1},
			tampering, {"open": url}, {"alarm": true}, honest, {"wait": "playing", "cards": 1}, {"frames": 10}, {"quiet": true},
		}
		if after := d.run(t, between); after.Cards[0].State != "playing" {
			t.Errorf("%s after the fault: %+v", browser, after.Cards[0])
		}
	}
}
