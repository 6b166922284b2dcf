package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/web"
)

// pageCache stands in front of a relay and has the fault of September 2023: it keeps the first answer for each path,
// ignores Cookie, Vary and Cache-Control, and serves it to everybody.
type pageCache struct {
	URL   string
	relay http.Handler

	mu       sync.Mutex
	kept     map[string]*httptest.ResponseRecorder // guarded by mu; by path
	requests []string                              // all requests as they came; guarded by mu
	hits     int                                   // answers served from the cache; guarded by mu
	misses   int                                   // answers fetched from the relay; guarded by mu
}

// startPageCache runs the relay command behind the cache. Beside the relay's own paths the cache serves a page that is
// made for each person, as a camera maker's is, to show that it is as faulty as it should be.
func startPageCache(t *testing.T) (c *pageCache, direct string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	behind := loopbackAddress(t)
	to, err := url.Parse("http://" + behind)
	if err != nil {
		t.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(to))
	mux.HandleFunc("/control", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private, no-store")
		w.Header().Set("Vary", "Cookie")
		fmt.Fprint(w, "the cameras of "+r.Header.Get("Cookie"))
	})

	c = &pageCache{
		URL:   "http://" + listener.Addr().String(),
		relay: mux,
		kept:  make(map[string]*httptest.ResponseRecorder),
	}

	server := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	startRelayAt(t, behind, "-public-url", c.URL)
	return c, "http://" + behind
}

func (c *pageCache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dump, err := httputil.DumpRequest(r, true)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.requests = append(c.requests, string(dump))
	if r.Header.Get("Upgrade") != "" { // no cache keeps a WebSocket
		c.mu.Unlock()
		c.relay.ServeHTTP(w, r)
		return
	}

	defer c.mu.Unlock()
	answer := c.kept[r.URL.Path]
	if answer == nil {
		answer = httptest.NewRecorder()
		c.relay.ServeHTTP(answer, r)
		c.kept[r.URL.Path] = answer
		c.misses++
	} else {
		c.hits++
	}

	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (c *pageCache) counts() (hits, misses int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses
}

// loopbackAddress returns an address of this machine that nobody else has, with a known port.
func loopbackAddress(t *testing.T) string {
	t.Helper()
	b := secret(t)
	return fmt.Sprintf("127.%d.%d.%d:7880", 1+b[0]%254, b[1], 1+b[2]%254)
}

// fetch returns a page as a person gets it. Every person's browser identifies itself differently.
func fetch(t *testing.T, url, person string) (status int, header http.Header, body []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{"Cookie", "Authorization", "Accept-Language", "User-Agent", "X-Forwarded-For",
		"Referer", "Origin"} {
		r.Header.Set(name, person)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}

	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, body
}

// pagePaths returns all paths at which a relay serves its page.
func pagePaths(t *testing.T) []string {
	t.Helper()
	paths := []string{"/", "/pair"}
	err := fs.WalkDir(web.Files(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, "/"+name)
		}
		return err
	})
	if err != nil || len(paths) < 4 {
		t.Fatalf("the page's files: %q, %v", paths, err)
	}
	return paths
}

// Wyze, September 2023: for about half an hour a web cache served one person's page of cameras to others. Here such a
// cache stands in front of the relay, and serves one person's page to the next.
func TestIncidentCachedPageServedToAnotherPerson(t *testing.T) {
	t.Parallel()
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	cache, direct := startPageCache(t)
	_, _, first := fetch(t, cache.URL+"/control", "A")
	if _, _, second := fetch(t, cache.URL+"/control", "B"); !bytes.Equal(first, second) ||
		string(first) != "the cameras of A" {
		t.Fatalf("A was served %q, B %q: the cache confuses nobody, the test proves nothing", first, second)
	}

	links := startCameraSim(t, cache.URL, 2)
	a := drive{Browser: "chromium", Policy: "plain", Steps: []step{
		{"open": links["sim-0"]}, {"wait": "playing", "cards": 1},
		{"open": cache.URL}, {"wait": "playing", "cards": 1}, {"frames": 10}, // the page of somebody who has a camera
	}}.run(t)
	a.Cards[0].shows(t, "sim-0", clips[0].Background, "video")
	_, asked := cache.counts()
	b := drive{Browser: "chromium", Policy: "plain", Steps: []step{
		{"open": cache.URL}, {"empty": true}, // a page with A's cameras would say so
		{"open": links["sim-1"]}, {"wait": "playing", "cards": 1}, {"frames": 10},
	}}.run(t)
	hits, misses := cache.counts()
	if hits < 4 || misses != asked {
		t.Fatalf("%d answers came from the cache, and B's browser caused %d more: B was not served A's page, so the "+
			"test shows nothing", hits, misses-asked)
	}

	if len(b.Cards) != 1 {
		t.Fatalf("B's page shows %d cameras: %+v", len(b.Cards), b.Cards)
	}
	b.Cards[0].shows(t, "sim-1", clips[1].Background, "video")

	t.Run("the page is the same for everybody", func(t *testing.T) { samePage(t, direct) })
	t.Run("no request says who asks", func(t *testing.T) { cache.anonymous(t, links) })
}

// samePage: the page that a relay serves is what was built, whoever asks, and its caching headers are right.
func samePage(t *testing.T, relay string) {
	for _, path := range pagePaths(t) {
		file := strings.TrimPrefix(path, "/")
		if file == "" || file == "pair" {
			file = "index.html"
		}
		built, err := fs.ReadFile(web.Files(), file)
		if err != nil {
			t.Fatal(err)
		}

		_, header, body := fetch(t, relay+path, "A")
		status, otherHeader, otherBody := fetch(t, relay+path, "B")
		header.Del("Date")
		otherHeader.Del("Date")
		if status != http.StatusOK || !bytes.Equal(body, built) || !bytes.Equal(otherBody, built) ||
			!maps.EqualFunc(header, otherHeader, slices.Equal) {
			t.Errorf("%s: status %d; %d and %d bytes of %d; headers %v and %v: not the same for everybody", path,
				status, len(body), len(otherBody), len(built), header, otherHeader)
		}

		caching, kept := header.Get("Cache-Control"), header.Get("ETag")
		want := caching == "no-cache" && kept != "" ||
			strings.HasPrefix(caching, "public, max-age=") && strings.HasSuffix(caching, ", immutable")
		if file == "index.html" {
			want = caching == "no-store" && kept == ""
		}

		if !want || header.Get("Set-Cookie") != "" {
			t.Errorf("%s: Cache-Control %q, ETag %q, Set-Cookie %q", path, caching, kept, header.Get("Set-Cookie"))
		}
	}
}

// anonymous: no request of a browser carried anything by which a server could make a page for one person.
func (c *pageCache) anonymous(t *testing.T, links map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, request := range c.requests {
		if strings.Contains(request, "/control") { // ours
			continue
		}
		head, body, _ := strings.Cut(request, "\r\n\r\n")
		line, _, _ := strings.Cut(head, "\r\n")
		if !strings.HasPrefix(line, "GET /") || strings.Contains(line, "?") || body != "" {
			t.Errorf("a browser sent %q", request)
		}

		for _, name := range []string{"\r\nCookie:", "\r\nAuthorization:", "\r\nReferer:"} {
			if strings.Contains(head, name) {
				t.Errorf("a browser sent %q", head)
			}
		}

		for _, link := range links {
			if _, code, _ := strings.Cut(link, "#"); strings.Contains(request, code) {
				t.Errorf("the secret of a pairing link was sent: %q", request)
			}
		}
	}

	if len(c.requests) < 8 {
		t.Errorf("only %d requests: the test proves nothing", len(c.requests))
	}
}
