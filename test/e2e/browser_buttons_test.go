package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
)

// buttons are the pages before and after the one under test, the relay that it pairs through, and codes of cameras
// there.
type buttons struct {
	newcomer
	stranger string // a page that has nothing to do with ours
	away     string // the code of a camera that never answers
}

func startButtons(t *testing.T) buttons {
	t.Helper()
	b := buttons{newcomer: startNewcomer(t)}
	b.away = codeOf(t, b.book.URL, identity.Camera, time.Hour)
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<title>stranger</title>")
	}))
	t.Cleanup(stranger.Close)
	b.stranger = stranger.URL + "/"

	return b
}

// leaveAndReturn presses back, which leads to a stranger's page, and then forward.
func (b buttons) leaveAndReturn() []step {
	return []step{{"back": b.stranger}, {"forward": b.book.URL}}
}

// pairingBegun tells the test that the page has reached the relay. The next page must not.
var pairingBegun = step{"tell": "pairing begun", "hear": true}

// listen returns what checks, at each step that says so, that nobody agreed: the page has not reached the relay.
//
// While a page that pairs is left, it still asks the relay what is wrong, and connects again, until the next page is
// there. The relay cannot tell the two apart; then only each page's own record does, which every question has.
func (b buttons) listen(t *testing.T) func(line string) {
	begun := false
	return func(line string) {
		if line == pairingBegun["tell"] {
			begun = true
			return
		}
		if begun {
			b.book.clear()
			begun = false
			return
		}
		if reached := b.book.signaling(); len(reached) > 0 {
			t.Errorf("the relay was asked for %q before anybody agreed", reached)
		}
	}
}

// Back, forward and reload, and a page restored from the browser's cache, neither answer nor lose a question: at every
// step of pairing they lead back to the question, or to the cameras that were there.
func TestBrowserButtonsAnswerNothing(t *testing.T) {
	t.Parallel()
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) { testButtons(t, browser) })
	}
}

func testButtons(t *testing.T, browser string) {
	b := startButtons(t)
	ask, shut, note := step{"ask": true}, step{"empty": true, "shut": true}, step{"note": true}
	reload, yes, begins := step{"reload": true}, step{"answer": "yes"}, step{"begun": true}
	playing := step{"wait": "playing", "cards": 1}
	cross := step{"script": "document.querySelector('#pair .close').click()"}
	opened := func(link string) []step {
		return []step{{"visit": b.stranger}, {"open": link, "unanswered": true}, ask}
	}

	d := drive{Browser: browser, Policy: "plain", Reached: true, Steps: slices.Concat(
		// a question that is open
		opened(b.link), b.leaveAndReturn(), []step{ask, reload, ask, {"cached": true}, ask, nobodyAgreed},
		// a question that was answered with no
		[]step{{"answer": "no"}, shut, reload, shut}, b.leaveAndReturn(), []step{shut},
		// the same by a key and by the dialog's own button, with a reload before the browser tells of it
		opened(b.link), []step{{"answer": "Escape"}, reload, shut, nobodyAgreed},
		opened(b.link), []step{cross, reload, shut, nobodyAgreed},
		// a question that was left by a new visit
		opened(b.link), []step{{"visit": b.stranger}, {"visit": b.book.URL}, shut, note, nobodyAgreed},
		// the ways to the dialog
		[]step{{"script": "document.querySelector('#add').click()"}, reload, shut}, b.leaveAndReturn(),
		[]step{shut, nobodyAgreed},
		// a pairing that is under way
		opened(b.away), []step{yes, begins, pairingBegun, reload, ask, nobodyAgreed},
		[]step{yes, begins, pairingBegun}, b.leaveAndReturn(), []step{ask, nobodyAgreed},
		[]step{yes, begins, pairingBegun, {"cached": true}, ask, nobodyAgreed},
		// a camera that has been added
		opened(b.link), []step{yes, playing, {"shut": true}, reload, playing, {"shut": true}},
		b.leaveAndReturn(), []step{playing, {"shut": true}},
	)}

	r := d.run(t, b.listen(t))
	for i, q := range r.Asked {
		if len(q.Reached) > 0 || q.Title != "Add a NEW camera?" || q.Address != b.book.URL+"/" {
			t.Errorf("question %d: %+v", i, q)
		}
	}

	if len(r.Noted[0]) > 0 {
		t.Errorf("a visit after a question that nobody answered reaches %q", r.Noted[0])
	}
}

// The same where a yes loads the page anew, so that it may reach a relay other than its own. If that page did not load,
// nobody could see what they agreed to, so a later visit must not act on it.
func TestBrowserButtonsAnswerNothingForAnotherRelay(t *testing.T) {
	t.Parallel()
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) { testButtonsElsewhere(t, browser) })
	}
}

func testButtonsElsewhere(t *testing.T, browser string) {
	b := startButtons(t)
	own := startGuestbook(t)
	ask, shut := step{"ask": true}, step{"empty": true, "shut": true}
	reload, yes, begins := step{"reload": true}, step{"answer": "yes"}, step{"begun": true}
	playing := step{"wait": "playing", "cards": 1}
	opened := func(link string) []step {
		return []step{{"visit": b.stranger}, {"visit": own.URL},
			{"transfer": "paste", "text": link, "unanswered": true}, ask}
	}
	leaveAndReturn := []step{{"back": b.stranger}, {"forward": own.URL}}

	d := drive{Browser: browser, Policy: "plain", Reached: true, Steps: slices.Concat(
		opened(b.link), leaveAndReturn, []step{ask, reload, ask, nobodyAgreed},
		// a page that did not load
		[]step{{"tell": "the page goes down", "hear": true}, yes, {"unreachable": true},
			{"tell": "the page is back", "hear": true}},
		[]step{{"visit": own.URL}, shut, {"note": true}, nobodyAgreed},
		// a pairing that is under way
		opened(b.away), []step{yes, begins, pairingBegun, reload, ask, nobodyAgreed},
		[]step{yes, begins, pairingBegun}, leaveAndReturn, []step{ask, nobodyAgreed},
		// a camera that has been added
		opened(b.link), []step{yes, playing, {"shut": true}, reload, playing, {"shut": true}},
		leaveAndReturn, []step{playing, {"shut": true}},
	)}

	heard := b.listen(t)
	r := d.run(t, func(line string) {
		switch line {
		case "the page goes down":
			own.shut()
		case "the page is back":
			own.reopen()
		default:
			heard(line)
		}
	})
	for i, q := range r.Asked {
		if len(q.Reached) > 0 || q.Title != "Add a NEW camera?" ||
			!strings.HasPrefix(q.Other, "This is not the relay of this page") {
			t.Errorf("question %d: %+v", i, q)
		}
	}

	if len(r.Noted[0]) > 0 {
		t.Errorf("a visit after a yes that came to nothing reaches %q", r.Noted[0])
	}
}

// If a link lost all or part of its code on the way, the page says so, and what to do.
func TestBrowserSaysThatALinkIsTorn(t *testing.T) {
	t.Parallel()
	book := startGuestbook(t)
	whole := codeOf(t, book.URL, identity.Camera, time.Hour)
	const said = "return location.href + ' ' + document.querySelector('#pair .error').textContent"
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			d := drive{Browser: browser, Policy: "plain"}
			for _, link := range []string{book.URL + "/pair", book.URL + "/pair#", whole[:len(whole)-5]} {
				d.Steps = append(d.Steps, step{"visit": link}, step{"error": true}, step{"script": said})
			}
			for i, got := range d.run(t).Values {
				want := book.URL + "/ This code is damaged or incomplete. Scan it again, or copy the whole link."
				if got != want {
					t.Errorf("link %d: %q, want %q", i, got, want)
				}
			}
		})
	}

	if reached := book.signaling(); len(reached) > 0 {
		t.Errorf("the relay was asked for %q", reached)
	}
}
