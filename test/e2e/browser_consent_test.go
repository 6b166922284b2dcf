package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling/region"
)

// newcomer is a camera that has never been paired, behind a guestbook that was cleared once the camera was there.
type newcomer struct {
	book        *guestbook
	sim         *process
	link, words string
}

func startNewcomer(t *testing.T) newcomer {
	t.Helper()
	a := newcomer{book: startGuestbook(t)}
	a.sim = start(t, "camera-sim", "-relay", a.book.URL, "-state", t.TempDir())
	a.link, a.words = a.sim.line(t, "pair sim-0 "), a.sim.line(t, "words sim-0 ")
	a.sim.await(t, "connected to the relay", 1)
	eventually(t, "the camera asks for the map of regions", func() bool {
		_, requests := a.book.read()
		return slices.Contains(requests, "GET "+region.Path)
	})
	a.book.clear()
	return a
}

// nobodyAgreed has the test look at the guestbook; see newcomer.run.
var nobodyAgreed = step{"tell": "nobody agreed", "hear": true}

// run drives the browser. At each step nobodyAgreed the relay must have served the page and nothing else.
func (a newcomer) run(t *testing.T, d drive) driven {
	t.Helper()
	return d.run(t, func(string) {
		if reached := a.book.signaling(); len(reached) > 0 {
			t.Errorf("the relay was asked for %q before anybody agreed", reached)
		}
	})
}

// However a code reaches the page, the person is asked first, and sees the camera's words and its relay. Before the
// answer the page has not touched the network. Only a yes pairs, and the camera then names the browser as the page
// does.
func TestBrowserAsksBeforeItPairs(t *testing.T) {
	t.Parallel()
	need(t, "ffmpeg")
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) { testAsks(t, browser) })
	}
}

func testAsks(t *testing.T, browser string) {
	a := startNewcomer(t)
	picture := drawCode(t, a.link)
	d := drive{Browser: browser, Policy: "plain", Reached: true}
	ways := []step{
		{"open": a.link},
		{"paste": a.link},
		{"picture": picture},
		{"transfer": "paste", "text": a.link},
		{"transfer": "drop", "text": a.link},
		{"transfer": "paste", "picture": picture},
		{"transfer": "drop", "picture": picture},
	}

	if browser == "chromium" { // only Chromium has a lens for tests
		d.Lens = drawLens(t, picture)
		ways = append(ways, step{"lens": d.Lens})
	}

	ask, empty := step{"ask": true}, step{"empty": true, "shut": true}
	for i, way := range ways {
		way["unanswered"] = true
		d.Steps = append(d.Steps, way, ask, step{"answer": []string{"no", "Escape"}[i%2]}, empty)
	}

	d.Steps = append(d.Steps, ways[0], ask, step{"reload": true}, ask, nobodyAgreed, step{"answer": "no"}, empty)
	d.Steps = append(d.Steps, ways[0], ask, nobodyAgreed, step{"answer": "yes"}, step{"wait": "playing", "cards": 1},
		step{"note": true})
	r := a.run(t, d)
	if len(r.Asked) != len(ways)+3 {
		t.Fatalf("asked %d times, want %d", len(r.Asked), len(ways)+3)
	}

	for i, q := range r.Asked {
		q.isOfNewCamera(t, a.words, a.book.URL)
		if len(q.Reached) > 0 || q.Address != a.book.URL+"/" {
			t.Errorf("question %d: the page has reached %q, and its address is %s", i, q.Reached, q.Address)
		}
	}

	opened := func(reached string) bool { return strings.HasPrefix(reached, "WebSocket ") }
	if !slices.ContainsFunc(r.Noted[0], opened) || len(a.book.signaling()) == 0 {
		t.Errorf("after the yes: %q and %q: the test notes nothing", r.Noted[0], a.book.signaling())
	}
	if said := a.sim.line(t, "paired sim-0 with viewer "); r.Device == "" ||
		!strings.HasSuffix(said, " ("+r.Device+")") {
		t.Errorf("the page says that the camera calls it %q, and the camera says %q", r.Device, said)
	}
}

// isOfNewCamera checks the question about an unknown camera at the page's own relay.
func (q question) isOfNewCamera(t *testing.T, words, relay string) {
	t.Helper()
	q.says(t, question{
		Title: "Add a NEW camera?",
		Words: words,
		Where: "Relay " + relay + " this page’s own",
		Who:   "your internet address",
		Yes:   "Add camera",
	})

	if q.Focus != "pair-title" {
		t.Errorf("the keyboard is at %q, and not at the title", q.Focus)
	}
}

// says checks a question's sentences: Other, Expired and Who must contain those of want, and be empty where want's are.
func (q question) says(t *testing.T, want question) {
	t.Helper()
	if q.Title != want.Title || q.Words != want.Words || q.Where != want.Where || q.Yes != want.Yes {
		t.Errorf("asked %+v, want %+v", q, want)
	}
	for got, part := range map[string]string{q.Other: want.Other, q.Expired: want.Expired} {
		if (got == "") != (part == "") || !strings.Contains(got, part) {
			t.Errorf("the question says %q, want %q", got, part)
		}
	}

	if hidden := want.Who == ""; hidden == strings.Contains(q.Who, "address") || !strings.Contains(q.Who, want.Who) {
		t.Errorf("the question says %q, want %q", q.Who, want.Who)
	}
}

// drawLens makes a film of a picture, for a browser's fake lens.
func drawLens(t *testing.T, picture string) string {
	t.Helper()
	lens := filepath.Join(t.TempDir(), "lens.y4m")
	args := []string{"-v", "error", "-loop", "1", "-i", picture, "-t", "1", "-vf",
		"scale=640:640:flags=neighbor,format=yuv420p", lens}
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("make the lens' picture: %v\n%s", err, out)
	}
	return lens
}

// Clicks and keys that cannot have been meant for the question do not answer it: the second click of a double click,
// and Enter when nothing was focused.
func TestBrowserTakesNoHastyAnswer(t *testing.T) {
	t.Parallel()
	const comesToTheFront = "dispatchEvent(new Event('focus')); return document.querySelector('#pair .yes').disabled"
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			a := startNewcomer(t)
			r := a.run(t, drive{
				Browser:   browser,
				Policy:    "plain",
				Reached:   true,
				SlowClock: true,
				Steps: []step{
					{"open": a.link, "unanswered": true}, {"impatient": true}, {"ask": true}, nobodyAgreed,
					{"answer": "Enter"}, {"answer": " "}, {"ask": true}, nobodyAgreed,
					{"script": comesToTheFront}, {"script": "pass(1000)"}, {"ask": true}, nobodyAgreed,
					{"answer": "yes"}, {"wait": "playing", "cards": 1},
				},
			})
			for i, q := range r.Asked {
				if len(q.Reached) > 0 {
					t.Errorf("question %d: the page has reached %q", i, q.Reached)
				}
			}

			if r.Values[0] != true {
				t.Error("a question that comes to the front can be answered at once")
			}
		})
	}
}

// Cancel, while a camera is being added, takes effect at once: no camera is added, and another can be.
func TestBrowserStopsAdding(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	link := startCameraSim(t, url, 1)["sim-0"]
	nobody := codeOf(t, url, identity.Camera, time.Hour) // nobody answers
	const begun = "while (!window.sockets?.length) await new Promise((ok) => setTimeout(ok, 20))"
	const over = `
	const all = () => sockets.every((s) => s.readyState >= WebSocket.CLOSING);
	for (let n = 0; n < 50 && !all(); n++) await new Promise((ok) => setTimeout(ok, 20));
	return all();`

	r := drive{Browser: "chromium", Policy: "plain", Reached: true, Steps: []step{
		{"open": nobody}, {"script": begun}, {"answer": "Escape"}, {"empty": true, "shut": true}, {"script": over},
		{"paste": nobody}, {"answer": "no"}, {"empty": true, "shut": true},
		{"paste": link}, {"wait": "playing", "cards": 1}, {"reload": true}, {"wait": "playing", "cards": 1},
	}}.run(t)
	if r.Values[1] != true {
		t.Error("a pairing that was cancelled goes on")
	}

	if len(r.Cards) != 1 || r.Cards[0].Name != "sim-0" {
		t.Errorf("cards %+v", r.Cards)
	}
}

// The page strips from a camera's name and its refusal what would reverse or hide the text around them.
func TestBrowserShowsPlainText(t *testing.T) {
	t.Parallel()
	link := startTroll(t, startRelayCommand(t), "porch\u202egnp\u2066\x1b", "go away\u202e\n")
	r := drive{Browser: "chromium", Policy: "plain", Steps: []step{
		{"open": link}, {"message": "go away"},
		{"transfer": "paste", "text": link, "unanswered": true}, {"ask": true},
	}}.run(t)
	c, title := r.Cards[0], r.Asked[0].Title
	if c.Name != "porch?gnp??" || c.Message != "go away??" || title != "Pair again with porch?gnp???" {
		t.Errorf("the camera is called %q, says %q, and in the question is called %q", c.Name, c.Message, title)
	}
}

// The question says what is known about a code: whose camera it is, which relay it leads to, and that it may be too
// old. It is always about the newest code. A camera that is paired again keeps the name it has in this browser.
func TestBrowserSaysWhatIsKnownOfACode(t *testing.T) {
	t.Parallel()
	url, other := startRelayCommand(t), startRelayCommand(t)
	sim := start(t, "camera-sim", "-relay", url, "-state", t.TempDir())
	link, words := sim.line(t, "pair sim-0 "), sim.line(t, "words sim-0 ")
	foreign := codeOf(t, other, identity.Camera, time.Hour)
	old := codeOf(t, url, identity.Camera, -time.Minute)
	next := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, sim.line(t, "pair sim-0 "), http.StatusFound)
	}))
	defer next.Close()

	offered := func(link string) step { return step{"transfer": "paste", "text": link, "unanswered": true} }
	ask, playing := step{"ask": true}, step{"wait": "playing", "cards": 1}

	r := drive{Browser: "chromium", Policy: "plain", Steps: []step{
		{"open": link}, playing,
		offered(link), ask, offered(old), ask, {"answer": "no", "shut": true},
		{"hide": true}, playing, offered(foreign), ask, {"answer": "no", "shut": true}, {"hide": false}, playing,
		{"script": "window.prompt = () => 'Porch \u202e'; document.querySelector('.card .rename').click()"}, playing,
		{"visit": next.URL}, ask, {"answer": "yes", "shut": true}, playing,
	}}.run(t)

	const address = "your internet address"
	here := "Relay " + url + " this page’s own"
	r.Asked[0].says(t, question{
		Title: "Pair again with sim-0?",
		Words: words,
		Where: here,
		Who:   address,
		Yes:   "Pair again",
	})

	r.Asked[1].says(t, question{
		Title:   "Add a NEW camera?",
		Words:   wordsOf(t, old),
		Where:   here,
		Expired: "the code has expired",
		Who:     address,
		Yes:     "Add camera",
	})

	r.Asked[2].says(t, question{
		Title: "Add a NEW camera?",
		Words: wordsOf(t, foreign),
		Where: "Relay " + other,
		Other: "This is not the relay of this page, " + url + ".",
		Yes:   "Add camera",
	})

	r.Asked[3].says(t, question{
		Title: "Pair again with Porch ??",
		Words: words,
		Where: here,
		Who:   address,
		Yes:   "Pair again",
	})

	if len(r.Cards) != 1 || r.Cards[0].Name != "Porch ?" {
		t.Errorf("paired again, it is shown as %+v", r.Cards)
	}
}

func wordsOf(t *testing.T, link string) string {
	t.Helper()
	code, err := pairing.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(code.Words(), " ")
}

// No page can frame this one, where its own pictures could cover the question.
func TestBrowserShowsThePageInNoFrame(t *testing.T) {
	t.Parallel()
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			book := startGuestbook(t)
			loaded := make(chan struct{}, 8)
			stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/loaded" {
					loaded <- struct{}{}
					return
				}
				w.Header().Set("Content-Type", "text/html")
				for _, path := range []string{"/", "/pair#x"} {
					fmt.Fprintf(w, `<iframe src="%s%s" onload="fetch('/loaded')"></iframe>`, book.URL, path)
				}
			}))
			defer stranger.Close()

			d := drive{
				Browser: browser,
				Policy:  "plain",
				Steps:   []step{{"visit": stranger.URL}, {"tell": "framed", "hear": true}},
			}

			d.run(t, func(string) {
				for range 2 {
					select {
					case <-loaded:
					case <-time.After(30 * time.Second):
						t.Error("the frames do not load")
					}
				}
			})

			_, requests := book.read()
			framed := slices.Contains(requests, "GET /pair") && slices.Contains(requests, "GET /")
			if !framed || slices.Contains(requests, "GET /app.js") {
				t.Errorf("the relay was asked for %q; want the page, and nothing of what it would load", requests)
			}
		})
	}
}
