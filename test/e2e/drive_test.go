package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// A step is one step of web/test/browser/drive.mjs.
type step map[string]any

// drive is the input of web/test/browser/drive.mjs.
type drive struct {
	Browser    string `json:"browser"` // "chromium" or "firefox"
	Policy     string `json:"policy"`  // "plain": host candidates by address; "default": by mDNS name
	HideH264   bool   `json:"hideH264"`
	Lens       string `json:"lens,omitempty"`
	RelayOnly  bool   `json:"relayOnly"`         // only relayed candidates
	BreakFirst bool   `json:"breakFirst"`        // the first session breaks as soon as it gets a candidate
	TrustAll   bool   `json:"trustAll"`          // accept any certificate
	SPKI       string `json:"spki,omitempty"`    // SHA-256 of the key that Chromium accepts over QUIC, in base64
	Sealed     bool   `json:"sealed"`            // keep what the page seals, in the clear
	Untold     bool   `json:"untold"`            // the browser reports no RTP timestamps of the pictures that it shows
	Reached    bool   `json:"reached"`           // record everything that the page does to reach the network
	SlowClock  bool   `json:"slowClock"`         // the page's clock advances only when a step says so
	Prelude    string `json:"prelude,omitempty"` // runs in each page before its own program
	Within     int64  `json:"within"`            // the limit of every wait, in milliseconds
	Steps      []step `json:"steps"`

	by func(*exec.Cmd) error // starts the browser; nil: on this machine
}

// driven is what drive.mjs saw.
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
	Through []string  `json:"through"` // what the page's policy should have refused
	Notices []string  `json:"notices"`
	Kept    []card    `json:"kept"` // the first card, at each step that keeps it

	Asked  []question `json:"asked"`  // at each step that waits for the question
	Noted  [][]string `json:"noted"`  // what the page has reached between the steps that note it
	Values []any      `json:"values"` // of the scripts
	Device string     `json:"device"` // the words of this browser

	Samples []sampled `json:"samples"` // of what the first card showed
	After   []bool    `json:"after"`   // each step that sets the page's clocks: whether a picture is called live
}

// question is what the page asks before it pairs with a camera.
type question struct {
	Title, Words, Where, Other, Expired, Who, Yes string

	Focus   string   // the id of the element that has the keyboard
	Address string   // of the page
	Reached []string // by the page, since the last note
}

type card struct {
	Camera, Name, State, Message, Alarm, Path, Why, Record, Live, Element, Frames, Rejected, First, TTFF, Gap string
	Signaling                                                                                                 string
	Size                                                                                                      [2]int
	Corner                                                                                                    [3]int
}

// browserSlots bounds how many browsers run at a time, so that they do not fight over two cores.
var browserSlots = make(chan struct{}, 2)

// run drives the browser. At each step that prints a line, it calls between with that line.
func (d drive) run(t testing.TB, between ...func(line string)) driven {
	t.Helper()
	need(t, "node", map[string]string{"chromium": "chromium", "firefox": "firefox-esr"}[d.Browser])
	if _, err := os.Stat("../../web/node_modules/puppeteer-core"); err != nil {
		missing(t, "web/node_modules: run make test, or npm ci in web")
	}

	browserSlots <- struct{}{}
	defer func() { <-browserSlots }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()

	cmd := d.command(ctx, t)
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
	defer func() { cancel(); _ = cmd.Wait() }() // if the test fails in between

	r := converseWith(stdout, stdin, between)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("drive %s: %v\n%s", d.Browser, err, complaint.Bytes())
	}
	if r.Failed != "" || len(r.Errors) > 0 {
		t.Fatalf("%s: %s %q", r.Version, r.Failed, r.Errors)
	}
	t.Log(r.Version)
	return r
}

// command returns the command that drives the browser until ctx ends.
func (d drive) command(ctx context.Context, t testing.TB) *exec.Cmd {
	t.Helper()
	d.Within = patience.Milliseconds()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	home, err := browserHome()
	if err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(ctx, "node", "test/browser/drive.mjs", string(text))
	cmd.Dir = "../../web"
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // which ends its browser too
	cmd.WaitDelay = patience
	return cmd
}

// converseWith reads what drive.mjs prints: lines for the test, each of which it wants answered, and its result.
func converseWith(stdout io.Reader, stdin io.Writer, between []func(line string)) (r driven) {
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
	return r
}

// shows checks that a card shows a clip's picture, live.
func (c card) shows(t *testing.T, name string, background color.RGBA, element string) {
	t.Helper()
	if !near(c.Corner, background) {
		t.Errorf("%s shows colour %v, want %v: somebody else's picture?", name, c.Corner, background)
	}
	if c.Name != name || c.State != "playing" || c.Live != "true" || c.Element != element ||
		c.Size != [2]int{640, 360} || c.Rejected != "" || c.Alarm != "" {
		t.Errorf("card %+v, want %q live in a %s", c, name, element)
	}
}

// near reports whether a pixel has a clip's background, allowing for encoders and colour spaces.
func near(pixel [3]int, background color.RGBA) bool {
	for i, want := range []uint8{background.R, background.G, background.B} {
		if d := pixel[i] - int(want); d < -12 || d > 12 {
			return false
		}
	}
	return true
}
