package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
)

// Two tabs of one browser that pair by the same code do not compete: the second says that the first is pairing, and
// takes over if the person asks for it; the first then stops.
func TestBrowserPairsInOneTabAlone(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	const keepError = `new MutationObserver(() => {
		const { hidden, textContent } = document.querySelector('#pair .error');
		if (!hidden) localStorage.setItem('first', textContent);
	}).observe(document.querySelector('#pair'), {
		subtree: true, childList: true, characterData: true, attributes: true,
	})`

	const takeOver = `const wait = async (is) => { while (!is()) await new Promise((r) => setTimeout(r, 20)); };
		const take = document.querySelector('#pair .take');
		await wait(() => !take.hidden);
		const said = document.querySelector('#pair .progress').textContent;
		take.click();
		await wait(() => localStorage.getItem('first'));
		return [said, localStorage.getItem('first'), take.hidden].join(' | ')`

	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			away := codeOf(t, url, identity.Camera, time.Hour) // so that pairing lasts until the page loses patience
			r := drive{Browser: browser, Policy: "plain", Steps: []step{
				{"open": away}, {"script": keepError}, {"tab": away}, {"ask": true}, {"answer": "yes"},
				{"script": takeOver}, {"error": true},
			}}.run(t)
			const want = "Another tab is adding this camera. | This continues in another tab. | true"
			if got := fmt.Sprint(r.Values[len(r.Values)-1]); got != want {
				t.Errorf("the tabs say %q, want %q", got, want)
			}

			if !strings.HasPrefix(r.Error, "No device is waiting at this code") {
				t.Errorf("the second tab ends with %q", r.Error)
			}
		})
	}
}

// A link opened in two tabs adds one camera: the tab that is answered second says that the other has added it.
func TestBrowserAddsACameraOfTwoTabsOnce(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			link := startCameraSim(t, url, 1)["sim-0"]
			ask, yes := step{"ask": true}, step{"answer": "yes"}
			r := drive{Browser: browser, Policy: "plain", Reached: true, Steps: []step{
				{"open": link, "unanswered": true}, ask, {"tab": link}, ask, yes, {"wait": "playing", "cards": 1},
				{"first": true}, {"note": true}, ask, yes, {"error": true}, {"note": true},
				{"reload": true}, {"wait": "playing", "cards": 1}, {"shut": true},
			}}.run(t)

			if want := "Another tab has added this camera."; !strings.HasPrefix(r.Error, want) {
				t.Errorf("the first tab says %q, want %q", r.Error, want)
			}
			if len(r.Noted[1]) > 0 {
				t.Errorf("the first tab has reached %q", r.Noted[1])
			}
		})
	}
}
