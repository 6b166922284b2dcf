package doctor

import (
	"net/http"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/selfsigned"
)

// The report says what a proxy does to WebSocket, without an address.
func TestProxyFaultsAreReported(t *testing.T) {
	good := selfsigned.New(t, "127.0.0.1")
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}

	for _, tt := range []struct {
		name        string
		handle      http.HandlerFunc
		untrusting  bool
		value, text string
	}{
		{"Upgrade is dropped", status(http.StatusUpgradeRequired), false, "upgrade",
			"a proxy on the way drops WebSocket"},
		{"the relay is away", status(http.StatusBadGateway), false, "no",
			"a proxy in front of it cannot reach it (HTTP 502)"},
		{"nobody trusted", says(oneServer), true, "certificate", "see certificate"},
		{"no relay", http.NotFound, false, "no", "is it a Peephole relay?"},
	} {
		r := fake(t, good, tt.handle)
		if tt.untrusting {
			r.Trust = nil
		}
		f := (&contact{Relay: r}).checkSignaling(t.Context())
		told := strings.Contains(f.Text, "127.0.0.1")
		if f.Verdict != Bad || f.Value != tt.value || !strings.Contains(f.Text, tt.text) || told {
			t.Errorf("%s: %+v", tt.name, f)
		}
	}
}
