package evilcloud

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
)

// Pages is a fault of what serves the web page.
type Pages int32

const (
	// RightPages is an honest cache.
	RightPages Pages = iota
	// NextPages serves to everybody what the previous client asked for: a cache that ignores path and person.
	NextPages
	// WrongHeaders serves the right files with somebody else's cookie, cacheable for ever, with the wrong type, and
	// without a policy.
	WrongHeaders
)

// cache stands before a node's page.
type cache struct {
	fault  atomic.Int32 // Pages
	served atomic.Int64 // responses that were not what was asked for

	mu   sync.Mutex
	last *httptest.ResponseRecorder // guarded by mu
}

// before puts the cache before a handler.
func (c *cache) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := Pages(c.fault.Load())
		if fault == RightPages {
			next.ServeHTTP(w, r)
			return
		}
		r.Header.Del("If-None-Match")
		r.Header.Del("If-Modified-Since")
		response := httptest.NewRecorder()
		next.ServeHTTP(response, r)

		if fault == NextPages {
			c.mu.Lock()
			response, c.last = c.last, response
			if response == nil {
				response = c.last
			}
			c.mu.Unlock()
		}

		c.served.Add(1)
		for name, values := range response.Header() {
			w.Header()[name] = values
		}
		if fault == WrongHeaders {
			h := w.Header()
			h.Del("Content-Security-Policy")
			h.Set("Content-Type", "text/plain")
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
			h.Set("Set-Cookie", "session=somebody-else")
		}

		w.WriteHeader(response.Code)
		_, _ = w.Write(response.Body.Bytes())
	})
}
