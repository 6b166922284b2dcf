package relay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/peephole-cam/peephole/signaling/server"
)

func get(t *testing.T, client *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}

	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()

	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func noOthers() []string { return nil }

func unlimited(netip.Addr, int64) bool { return true }

// A client pays for what the relay sends it, but not for what its browser already has.
func TestPagesAreCharged(t *testing.T) {
	charged := int64(0)
	p, err := newPages(fstest.MapFS{
		"index.html": {Data: []byte("page")},
		"app.js":     {Data: bytes.Repeat([]byte("code"), 3*workBytes/4)},
	}, "https://relay.example", noOthers, func(client netip.Addr, work int64) bool {
		if client != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("%v is charged", client)
		}
		charged += work
		return charged <= 6
	})
	if err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		path, etag string
		status     int
		charged    int64
	}{
		{"/", "", 200, 0},
		{"/app.js", "", 200, 3},
		{"/app.js", p.files["/app.js"].etag, 304, 3},
		{"/app.js", `"another"`, 200, 6},
		{"/app.js", "", 429, 9},
	} {
		r := httptest.NewRequest(http.MethodGet, tt.path, nil)
		r.RemoteAddr = "192.0.2.1:1000"
		if tt.etag != "" {
			r.Header.Set("If-None-Match", tt.etag)
		}

		w := httptest.NewRecorder()
		if p.ServeHTTP(w, r); w.Code != tt.status || charged != tt.charged {
			t.Errorf("%s %s: %d, charged %d; want %d, %d", tt.path, tt.etag, w.Code, charged, tt.status, tt.charged)
		}
	}
}

func TestAssetsAreCached(t *testing.T) {
	p, err := newPages(fstest.MapFS{
		"index.html":            {Data: []byte("page")},
		"app.js":                {Data: []byte("code")},
		"assets/x-ABCD1234.css": {Data: []byte("style")},
	}, "https://relay.example", noOthers, unlimited)
	if err != nil {
		t.Fatal(err)
	}

	s := &http.Server{Handler: withHeaders(p, false)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	defer s.Close()

	url := "http://" + l.Addr().String()
	r, body := get(t, http.DefaultClient, url+"/app.js")
	etag := r.Header.Get("ETag")
	if body != "code" || etag == "" || r.Header.Get("Cache-Control") != "no-cache" ||
		r.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("app.js: %q, %v", body, r.Header)
	}

	if r, _ := get(t, http.DefaultClient, url+"/app.js", "If-None-Match",
		etag); r.StatusCode != http.StatusNotModified {
		t.Errorf("an unchanged app.js: status %d", r.StatusCode)
	}
	if r, body := get(t, http.DefaultClient, url+"/assets/x-ABCD1234.css"); body != "style" ||
		!strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("a hashed file: %q, %v", body, r.Header)
	}

	if r, _ := get(t, http.DefaultClient, url+"/assets/"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a folder: status %d", r.StatusCode)
	}
	if _, err := newPages(fstest.MapFS{}, "https://relay.example", noOthers, unlimited); err == nil ||
		!strings.Contains(err.Error(), "make web") {
		t.Errorf("no page: %v", err)
	}
}

func TestUnbuiltPageIsNamed(t *testing.T) {
	_, err := newPages(fstest.MapFS{}, "https://relay.example", noOthers, nil)
	if err == nil || err.Error() != "read web page: no index.html: build it with make web" {
		t.Errorf("says %v", err)
	}
}

// Only a loopback listener shows metrics beside the page.
func TestMetricsAreServedOnLoopbackOnly(t *testing.T) {
	r := newRelay(t, func(c *Config) { c.Observe = observed })
	for _, tt := range []struct {
		listen string
		want   int
	}{{"127.0.0.1:7880", 200}, {"[::1]:7880", 200}, {":443", 404}, {"192.0.2.1:443", 404}} {
		r.cfg.Listen = tt.listen
		if w := recorded(t, r.handler(), "/metrics"); w.StatusCode != tt.want {
			t.Errorf("on %s: status %d, want %d", tt.listen, w.StatusCode, tt.want)
		}
	}

	if w := recorded(t, r.metricsHandler(), "/metrics"); w.StatusCode != 200 {
		t.Errorf("on the metrics address: status %d", w.StatusCode)
	}
	if w := recorded(t, r.metricsHandler(), "/"); w.StatusCode != 404 {
		t.Errorf("the page on the metrics address: status %d", w.StatusCode)
	}

	if err := r.CheckSignaling(t.Context()); !errors.Is(err, server.ErrNotServing) {
		t.Errorf("signaling of a relay that does not run: %v", err)
	}
}

// observed serves empty metrics.
func observed(_ *Relay, mux *http.ServeMux) {
	mux.HandleFunc("GET /metrics", func(http.ResponseWriter, *http.Request) {})
}
