package e2e

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// guestbook is a proxy in front of a relay command that records every connection and every request.
type guestbook struct {
	URL string

	mu          sync.Mutex
	connections int      // guarded by mu
	requests    []string // guarded by mu; method and path, as they came
	isShut      bool     // guarded by mu
}

func startGuestbook(t *testing.T) *guestbook {
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

	g := &guestbook{URL: "http://" + listener.Addr().String()}
	relay := httputil.NewSingleHostReverseProxy(to)

	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var shut bool
			g.note(func() {
				g.requests = append(g.requests, r.Method+" "+r.URL.Path)
				shut = g.isShut
			})
			if shut {
				panic(http.ErrAbortHandler) // closes the connection
			}
			relay.ServeHTTP(w, r)
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				g.note(func() { g.connections++ })
			}
		},
	}

	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })

	startRelayAt(t, behind, "-public-url", g.URL)
	return g
}

func (g *guestbook) note(what func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	what()
}

// clear starts a new page, once the camera has been there.
func (g *guestbook) clear() {
	g.note(func() { g.connections, g.requests = 0, nil })
}

// read returns the connections and requests since clear.
func (g *guestbook) read() (connections int, requests []string) {
	g.note(func() { connections, requests = g.connections, slices.Clone(g.requests) })
	return connections, requests
}

// signaling returns the requests since clear for anything but the page.
func (g *guestbook) signaling() []string {
	_, requests := g.read()
	return slices.DeleteFunc(requests, func(r string) bool {
		return strings.HasPrefix(r, "GET /") && !strings.HasPrefix(r, "GET /v1/")
	})
}

// shut ends every request from now on without an answer, until reopen.
func (g *guestbook) shut() { g.note(func() { g.isShut = true }) }

func (g *guestbook) reopen() { g.note(func() { g.isShut = false }) }
