package relay

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// everywhere holds the headers of every answer.
var everywhere = map[string]string{
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy": "accelerometer=(), autoplay=(self), bluetooth=(), camera=(self), display-capture=(), " +
		"fullscreen=(self), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), " +
		"payment=(), serial=(), usb=()",
}

const (
	pageDirectives = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; " +
		"connect-src %s; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for " +
		"'script'; trusted-types peephole"
	otherDirectives = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'"
)

// TestEveryAnswerHasItsHeaders: a page may run its own code and reach its own relay. No other answer may do anything.
func TestEveryAnswerHasItsHeaders(t *testing.T) {
	s := serveRelay(t, func(c *Config) { c.Observe = observed })
	page := strings.Replace(pageDirectives, "%s", "'self' "+s.URL()+" ws"+strings.TrimPrefix(s.URL(), "http"), 1)
	for path, policy := range map[string]string{
		"/": page, "/pair": page, "/index.html": page,
		"/app.js": otherDirectives, "/worker.js": otherDirectives, "/style.css": otherDirectives,
		"/icon.svg": otherDirectives,
		"/missing":  otherDirectives, "/v1/signal": otherDirectives, "/v1/servers": otherDirectives,
		"/metrics": otherDirectives, "/healthz": otherDirectives, "/readyz": otherDirectives,
	} {
		r, _ := get(t, http.DefaultClient, s.URL()+path)
		if got := r.Header.Values("Content-Security-Policy"); len(got) != 1 || got[0] != policy {
			t.Errorf("%s: policy %q, want %q", path, got, policy)
		}
		for name, want := range everywhere {
			if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}

		if got := r.Header.Get("Cache-Control"); got != "no-store" && got != "no-cache" {
			t.Errorf("%s: Cache-Control is %q", path, got)
		}
		if got := r.Header.Get("Strict-Transport-Security"); got != "" {
			t.Errorf("%s, over plain HTTP: Strict-Transport-Security is %q", path, got)
		}
	}
}

// TestPageReachesTheRelaysItNames: the policy allows exactly the relays in the page's address, or none if one is
// malformed.
func TestPageReachesTheRelaysItNames(t *testing.T) {
	own := "'self' https://relay.example wss://relay.example"
	many := strings.Repeat("relay=https://b.example&", maxRelays+1)
	longest := "https://" + strings.Repeat("b", 253)
	for query, want := range map[string]string{
		"":                              own,
		"relay=https://b.example":       own + " https://b.example wss://b.example",
		"relay=https%3A%2F%2Fb.example": own + " https://b.example wss://b.example",
		"relay=https://b.example:8443&relay=http://127.0.0.1:7880": own +
			" https://b.example:8443 wss://b.example:8443 http://127.0.0.1:7880 ws://127.0.0.1:7880",
		"relay=https://[2001:db8::1]":                    own + " https://[2001:db8::1] wss://[2001:db8::1]",
		"relay=http://b.example":                         own,
		"relay=http://127.0.0.1.b.example":               own,
		"relay=https://*":                                own,
		"relay=https://*.example":                        own,
		"relay=https://b.example:*":                      own,
		"relay=https:":                                   own,
		"relay=*":                                        own,
		"relay=https://b.example/path":                   own,
		"relay=https://u:p@b.example":                    own,
		"relay=https://b.example%20https:":               own,
		"relay=https://b.example%3B%20script-src%20*":    own,
		"relay=https://b.example%2C%20default-src%20*":   own,
		"relay=https://b.example%0D%0AX:%20y":            own,
		"relay=https://b.example%0A":                     own,
		"relay=https://B.example":                        own,
		"relay='unsafe-eval'":                            own,
		"relay=":                                         own,
		"relay=https://b.example;":                       own,
		"relay=https://b.example&x=1":                    own,
		"relay=https://b.example&relay=*":                own,
		"relay=https://b.example:0":                      own,
		"relay=https://[:::]":                            own,
		"relay=https://[a:b:]":                           own,
		"relay=" + longest:                               own + " " + longest + " " + socketOrigin(longest),
		"relay=" + longest + "b":                         own,
		"relay=" + "https://" + strings.Repeat("b", 300): own,
		strings.TrimSuffix(many, "&"):                    own,
	} {
		relays := otherRelays(&url.URL{RawQuery: query})
		got := pagePolicy(append([]string{"https://relay.example"}, relays...)...)
		if got != strings.Replace(pageDirectives, "%s", want, 1) {
			t.Errorf("%q: %s", query, got)
		}
	}
}

// FuzzPagePolicy: whatever a page's address says, its policy has the directives of every page, and connect-src lists
// only the relay's own sources and origins.
func FuzzPagePolicy(f *testing.F) {
	f.Add("relay=https://b.example")
	f.Add("relay=https://b.example%3B%20script-src%20*&relay=http://[::1]:1")
	f.Fuzz(func(t *testing.T, query string) {
		policy := pagePolicy(append([]string{"https://relay.example"}, otherRelays(&url.URL{RawQuery: query})...)...)
		before, after, _ := strings.Cut(pageDirectives, "%s")
		sources, ok1 := strings.CutPrefix(policy, before)
		sources, ok2 := strings.CutSuffix(sources, after)
		if !ok1 || !ok2 {
			t.Fatalf("%q made the policy %s", query, policy)
		}

		for i, source := range strings.Split(sources, " ") {
			if i > 0 && !isOrigin(source) {
				t.Errorf("%q made the source %q", query, source)
			}
		}
	})
}

// isOrigin reports whether a policy's source is a single origin to which a page may connect: over TLS, or on its own
// machine.
func isOrigin(source string) bool {
	u, err := url.Parse(source)
	if err != nil || u.Host == "" || source != u.Scheme+"://"+u.Host || strings.ContainsAny(source, "*;,'") {
		return false
	}

	switch u.Scheme {
	case "https", "wss":
		return true
	case "http", "ws":
		host := u.Hostname()
		return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
	}

	return false
}

// TestStrictTransport: the header is sent over the relay's own TLS with the operator's certificate, and nowhere else.
func TestStrictTransport(t *testing.T) {
	given := httptest.NewTLSServer(nil)
	defer given.Close()
	certificate := func(string) (*tls.Certificate, error) { return &given.TLS.Certificates[0], nil }
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"with a certificate", func(c *Config) {
			c.Certificate, c.PublicURL = certificate, "https://relay.example"
		}, "max-age=31536000"},
		{"with one for this machine", func(c *Config) {
			c.Certificate, c.PublicURL = certificate, "https://localhost:7880"
		}, ""},
		{"self-signed", func(c *Config) {
			c.Certificate, c.SelfSigned, c.PublicURL = certificate, true, "https://relay.example"
		}, ""},
		{"behind a proxy that takes TLS off", func(c *Config) { c.PublicURL = "https://relay.example" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRelay(t, tt.edit, func(c *Config) { c.Observe = observed })
			for _, path := range []string{"/", "/app.js", "/missing", "/v1/servers"} {
				if got := recorded(t, r.handler(), path).Header.Get("Strict-Transport-Security"); got != tt.want {
					t.Errorf("%s: %q, want %q", path, got, tt.want)
				}
			}

			if got := recorded(t, r.metricsHandler(), "/metrics").Header.Get("Strict-Transport-Security"); got != "" {
				t.Errorf("Metrics, over plain HTTP: %q", got)
			}
		})
	}
}
