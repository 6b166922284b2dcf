package relay

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// TestProxyThatNamesNoClientHasTheShareOfAnAddress floods a relay through a trusted proxy that names no client: the
// flood gets no more places than one address would.
func TestProxyThatNamesNoClientHasTheShareOfAnAddress(t *testing.T) {
	for _, tt := range []struct{ name, tells string }{
		{"no header", ""},
		{"an unknown client", "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlaces(1<<12, &Config{TrustedProxies: testNetworks, ProxyHeader: XForwardedFor})
			d := newDoor("listen", make(pipes), p, slog.New(slog.DiscardHandler))
			h := d.welcome(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			request := func(address string) (status int) {
				g, _ := pipeGuest(t, p, address)
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.RemoteAddr = address
				if tt.tells != "" {
					r.Header.Set("X-Forwarded-For", tt.tells)
				}

				w := httptest.NewRecorder()
				h.ServeHTTP(w, r.WithContext(withGuest(r.Context(), g)))
				if w.Code != http.StatusOK {
					g.Close() // as http.Server does
				}
				return w.Code
			}

			served := int64(0)
			for request("127.0.0.1:5") == http.StatusOK {
				if served++; served > p.strangers.size/2 {
					t.Fatalf("the proxy has %d of %d places", served, p.strangers.size)
				}
			}

			if status := request("192.0.2.1:5"); status != http.StatusOK {
				t.Errorf("somebody else: %d", status)
			}
		})
	}

	p := newPlaces(1<<12, &Config{TrustedProxies: testNetworks, ProxyHeader: XForwardedFor})
	proxy, work := netip.MustParseAddr("127.0.0.1"), workSize()
	if p.chargeClient(proxy, work/2) || !p.chargePeer(proxy, work/2) {
		t.Error("a proxy may cause as much work for itself as for its clients")
	}
}
