package signaling

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/test/tcptest"
)

// If two connections are cut after equal silences, there is a limit. The client then pings twice as often as the limit
// requires.
func TestTwoEqualSilencesAreALimit(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name     string
		silences []time.Duration
		after    time.Duration // 0 means no limit
		every    time.Duration
	}{
		{"one may be chance", []time.Duration{10 * s}, 0, pingInterval},
		{"two alike", []time.Duration{10 * s, 10*s + s/2}, 10*s + s/2, 5*s + s/4},
		{"two unlike", []time.Duration{10 * s, 14 * s}, 0, pingInterval},
		{"short ones", []time.Duration{s, s, s}, 0, pingInterval},
		{"another end between", []time.Duration{10 * s, 0, 10 * s}, 0, pingInterval},
		{"a limit beyond the pings", []time.Duration{60 * s, 60 * s}, 60 * s, pingInterval},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var all idleCuts
			var err error
			for _, silence := range tt.silences {
				err = all.record(silence)
			}

			var cut *IdleCutError
			if found := errors.As(err, &cut); found != (tt.after > 0) || found && cut.After != tt.after {
				t.Errorf("found %v, want a limit of %s", err, tt.after)
			}
			if all.pingInterval() != tt.every {
				t.Errorf("pings every %s, want %s", all.pingInterval(), tt.every)
			}
		})
	}
}

// proxied starts a relay behind a proxy that drops hop-by-hop headers, as proxies do by default, and returns its URL.
func proxied(t *testing.T, relay http.Handler) string {
	t.Helper()
	behind := httptest.NewServer(relay)
	t.Cleanup(behind.Close)
	target, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}

	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Del("Upgrade")
		r.Out.Header.Del("Connection")
	}}
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	return front.URL
}

// The error says what a proxy did to the connection, and not how that looks from here.
func TestProxyIsNamed(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, tt := range map[string]struct {
		url  string
		says string
	}{
		"it drops Upgrade": {proxied(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
				w.WriteHeader(http.StatusUpgradeRequired)
			}
		})), "a proxy on the way drops WebSocket: have it pass the Upgrade and Connection headers on"},
		"its relay is away": {proxied(t, status(http.StatusBadGateway)),
			"a proxy in front of it cannot reach it (HTTP 502)"},
		"its relay is silent": {proxied(t, status(http.StatusGatewayTimeout)),
			"a proxy in front of it cannot reach it (HTTP 504)"},
		"no relay at all": {proxied(t, status(http.StatusNotFound)),
			"it answers HTTP 404: is it a Peephole relay?"},
	} {
		t.Run(name, func(t *testing.T) {
			states := make(chan error, 100)
			runClient(t, ClientConfig{URL: tt.url, OnState: func(err error) {
				select {
				case states <- err:
				default:
				}
			}})
			waitForState(t, states, tt.says)
		})
	}
}

// If a proxy's TLS is too old, the error says so, too.
func TestOldTLSIsNamed(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()

	err := CheckRelay(t.Context(), s.URL, &tls.Config{MinVersion: tls.VersionTLS13}, 0)
	if err == nil || !strings.Contains(err.Error(), "does not speak TLS 1.3") {
		t.Error(err)
	}
}

// If the relay's first message never arrives, the error says that something holds it back.
func TestHeldBackChallengeIsNamed(t *testing.T) {
	held := hostileRelay(t, func(context.Context, *websocket.Conn) {})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := CheckRelay(ctx, held, nil, 0); !errors.Is(err, ErrHeldBack) {
		t.Error(err)
	}
}

// cutting starts a TCP proxy in front of target that closes a connection once target has sent nothing on it for idle.
func cutting(t *testing.T, target string, idle time.Duration) string {
	t.Helper()
	at := tcptest.Start(t, func(client net.Conn) {
		relay, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer relay.Close()

		go func() {
			_, _ = io.Copy(relay, client)
			relay.Close()
		}()

		buffer := make([]byte, 4096)
		for {
			_ = relay.SetReadDeadline(time.Now().Add(idle))
			n, err := relay.Read(buffer)
			if err != nil {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})

	return "http://" + at.String()
}

// The client names a proxy that cuts idle connections at its second cut. From then on, pings keep the connection alive.
func TestIdleCutIsNamedAndOutlived(t *testing.T) {
	relay := hostileRelay(t, func(ctx context.Context, ws *websocket.Conn) { _ = sendFrame(ctx, ws, Challenge{}) })
	const idle = minSilence + silenceTolerance/2
	states := make(chan error, 100)
	runClient(t, ClientConfig{URL: cutting(t, strings.TrimPrefix(relay, "http://"), idle), OnState: func(err error) {
		states <- err
	}})
	waitForState(t, states, "a proxy on the way cuts connections that are idle for")

	late := time.After(patience)
	for err := receive(t, states); ; {
		connected := err == nil
		select {
		case err = <-states: // cut once more, because the machine was too busy to ping
		case <-time.After(2 * idle):
			if connected {
				return
			}
		case <-late:
			t.Fatal("every connection is cut")
		}
	}
}
