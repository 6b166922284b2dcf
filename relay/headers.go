package relay

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/peephole-cam/peephole/relayurl"
)

// strictTransport is the value of Strict-Transport-Security (RFC 6797): a year, renewed by every answer. It leaves out
// subdomains, where the operator may serve plain HTTP.
const strictTransport = "max-age=31536000"

// nothing is the content security policy of everything except the page: a browser that shows it runs and loads nothing.
const nothing = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// permissions lists the features that the page may use: the camera to scan codes, full screen and autoplay.
const permissions = "accelerometer=(), autoplay=(self), bluetooth=(), camera=(self), display-capture=(), " +
	"fullscreen=(self), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), " +
	"serial=(), usb=()"

// pagePolicy returns a policy that lets the page, and its worker, run only the page's own code and connect only to the
// given relays. No string becomes code or a script's address, except the worker's address, through the page's only
// Trusted Types policy.
func pagePolicy(relays ...string) string {
	connect := "'self'"
	for _, relay := range relays {
		connect += " " + relay + " " + socketOrigin(relay)
	}
	return "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; connect-src " +
		connect +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; " +
		"trusted-types peephole"
}

// socketOrigin returns the origin of a relay's WebSockets.
func socketOrigin(relay string) string { return "ws" + strings.TrimPrefix(relay, "http") }

// maxRelays bounds how many other relays a page's address may name.
const maxRelays = 16

// maxHostName bounds the host name of another relay, in bytes (RFC 1035, section 2.3.4).
const maxHostName = 253

// otherRelays returns the relays that a page's address names: /?relay=https://other.example. The page names the relays
// of the cameras that this browser keeps, so a person has chosen each of them. If a person follows a link that names
// others, the page removes them before it does anything else. A malformed address names no relays.
func otherRelays(address *url.URL) []string {
	query, err := url.ParseQuery(address.RawQuery)
	relays := query["relay"]
	if err != nil || len(query) > 1 || len(relays) > maxRelays {
		return nil
	}
	for _, relay := range relays {
		// In its one spelling, a URL has no character that ends a source or a directive of a policy.
		u, err := url.Parse(relay)
		if err != nil || len(u.Hostname()) > maxHostName || relayurl.Check(relay) != nil {
			return nil
		}
	}

	return relays
}

// withHeaders sets the security headers of every answer. A handler that allows caching sets Cache-Control itself.
func withHeaders(next http.Handler, overTLS bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", nothing)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", permissions)
		h.Set("Cache-Control", "no-store")
		if overTLS {
			h.Set("Strict-Transport-Security", strictTransport)
		}
		next.ServeHTTP(w, r)
	})
}
