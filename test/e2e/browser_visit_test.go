package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Scripts that read and change the page's storage.
const (
	openStorage = `
	const done = (r) => new Promise((ok, fail) => {
		r.onsuccess = () => ok(r.result);
		r.onerror = () => fail(r.error);
	});
	const db = await done(indexedDB.open('peephole'));`

	// keptByThePage returns what the page stores about this device, by name.
	keptByThePage = openStorage + `
	const kept = await done(db.transaction('identity').objectStore('identity').getAllKeys());
	db.close();
	return [...kept, ...Object.keys(localStorage)].join(' ');`

	// pairedUnasked stores the camera as a page did that asked nobody.
	pairedUnasked = openStorage + `
	const cameras = db.transaction('cameras', 'readwrite').objectStore('cameras');
	const [camera] = await done(cameras.getAll());
	delete camera.watch;
	await done(cameras.put(camera));
	db.close();`

	// emptyStorage tells the page that another tab has emptied the settings, and returns whether the address is still
	// hidden.
	emptyStorage = `
	dispatchEvent(new StorageEvent('storage', { key: null }));
	return document.querySelector('#hide-address').checked;`

	// hideable makes all pages of a tab hidden from the start, for as long as the session storage says so.
	hideable = `Object.defineProperty(Document.prototype, 'hidden', {
		configurable: true, get: () => sessionStorage.getItem('hidden') !== null });`
)

// A visit, a reload and a change of storage are nobody's decision. The page stores no keys before somebody adds a
// camera. By itself it reaches only cameras that a person added and left playing, and only when the page is visible and
// asks nothing.
func TestVisitAloneChangesNothing(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) { testVisit(t, browser, url) })
	}
}

func testVisit(t *testing.T, browser, url string) {
	link := startCameraSim(t, url, 1)["sim-0"]
	playing, idle, note := step{"wait": "playing", "cards": 1}, step{"wait": "idle", "cards": 1}, step{"note": true}
	press := step{"script": "document.querySelector('.card .watch').click()"}
	reload := step{"reload": true}

	r := drive{
		Browser: browser,
		Policy:  "plain",
		Reached: true,
		Prelude: hideable,
		Steps: slices.Concat(
			[]step{{"visit": url}, {"empty": true}, note, {"script": keptByThePage}},
			[]step{{"open": link}, playing, {"script": keptByThePage}},
			[]step{{"script": "sessionStorage.setItem('hidden', '')"}, reload, idle, note}, // nobody sees it
			[]step{{"visible": true}, playing, {"script": "sessionStorage.clear()"}},
			[]step{press, idle, reload, idle, note}, // once stopped, it stays stopped
			[]step{{"script": pairedUnasked}, reload, idle, note},
			[]step{press, playing, reload, playing, note},
			[]step{{"open": link, "unanswered": true}, {"ask": true}, {"answer": "no"}, playing},
			[]step{{"hide": true}, playing, {"script": emptyStorage}},
		),
	}.run(t)

	if before, after := r.Values[0], fmt.Sprint(r.Values[1]); before != "" || !strings.Contains(after, "self") {
		t.Errorf("the page keeps %q after a visit, and %q after pairing", before, after)
	}
	for i, what := range []string{"a first visit", "a reload that nobody sees", "a reload after Stop",
		"a reload after a page that asked nobody"} {
		if len(r.Noted[i]) > 0 {
			t.Errorf("%s reaches %q", what, r.Noted[i])
		}
	}

	if len(r.Noted[4]) == 0 {
		t.Error("a camera that is watched is not watched after a reload: the test proves nothing")
	}
	if len(r.Asked[0].Reached) > 0 {
		t.Errorf("under the question the page has reached %q", r.Asked[0].Reached)
	}

	if r.Values[len(r.Values)-1] != true {
		t.Error("emptied storage shows this device's address")
	}
}
