package evilcloud

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A broken cache serves what somebody else has asked for, or the right thing as something else.
func TestBrokenCacheServesOthersAnswers(t *testing.T) {
	c := start(t, Config{})
	get := func(path string) (body string, h http.Header) {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
		r, err := client.Get(c.URLs()[0] + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()

		var b bytes.Buffer
		if _, err := b.ReadFrom(r.Body); err != nil {
			t.Fatal(err)
		}
		return b.String(), r.Header
	}

	page, _ := get("/pair")
	app, h := get("/app.js")
	if !strings.Contains(page, "<title>Peephole</title>") || page == app || h.Get("Set-Cookie") != "" {
		t.Fatal("the honest page is not served")
	}
	c.SetPages(NextPages)
	get("/app.js")
	if got, _ := get("/"); got != app || c.Counts().Pages != 2 {
		t.Errorf("served %d bytes, want what was asked for before; counted %d", len(got), c.Counts().Pages)
	}

	c.SetPages(WrongHeaders)
	if got, h := get("/app.js"); got != app || h.Get("Content-Type") != "text/plain" || h.Get("Set-Cookie") == "" ||
		!strings.Contains(h.Get("Cache-Control"), "immutable") {
		t.Errorf("headers %v", h)
	}

	c.Heal()
	if got, h := get("/app.js"); got != app || h.Get("Set-Cookie") != "" {
		t.Errorf("after the fault: %v", h)
	}
}
