package relay

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// welcomed returns a function that sends a request to a door's handler, and returns the status and the address under
// which the request was served.
func welcomed(d *door) func(peer string, header http.Header, edit ...func(*http.Request)) (status int, as string) {
	var as string
	h := d.welcome(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { as = r.RemoteAddr }))
	return func(peer string, header http.Header, edit ...func(*http.Request)) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header, as = peer, header, ""
		for _, f := range edit {
			f(r)
		}

		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Header().Get("Connection") != "close" {
			return w.Code, "a connection that stays open"
		}
		return w.Code, as
	}
}

func TestRequestCountsForItsClient(t *testing.T) {
	places := newPlaces(1<<16, &Config{TrustedProxies: testNetworks, ProxyHeader: XForwardedFor})
	d := newDoor("listen", make(pipes), places, slog.New(slog.DiscardHandler))
	serve := welcomed(d)
	for _, tt := range []struct {
		name, peer, header string
		body               int64
		status             int
		as                 string
	}{
		{"direct", "192.0.2.1:5", "", 0, 200, "192.0.2.1:5"},
		{"a stranger's claim", "192.0.2.1:5", "198.51.100.1", 0, 200, "192.0.2.1:5"},
		{"by a proxy", "127.0.0.1:5", "192.0.2.7", 0, 200, "192.0.2.7:0"},
		{"by a proxy, over IPv6", "[::1]:5", "2001:db8::7", 0, 200, "[2001:db8::7]:0"},
		{"of the proxy itself", "127.0.0.1:5", "", 0, 200, "127.0.0.1:5"},
		{"nonsense of a proxy", "127.0.0.1:5", "relay.example", 0, 400, ""},
		{"with a body", "192.0.2.1:5", "", 5, 413, ""},
		{"with a body of unknown length", "192.0.2.1:5", "", -1, 413, ""},
		{"from nowhere", "pipe", "", 0, 400, ""},
	} {
		h := http.Header{}
		if tt.header != "" {
			h.Set("X-Forwarded-For", tt.header)
		}
		status, as := serve(tt.peer, h, func(r *http.Request) { r.ContentLength = tt.body })
		if status != tt.status || as != tt.as {
			t.Errorf("%s: %d as %q, want %d as %q", tt.name, status, as, tt.status, tt.as)
		}
	}

	if n, m := d.refused[refusedProxy].Load(), d.refused[refusedBody].Load(); n != 2 || m != 2 {
		t.Errorf("%d and %d refusals counted", n, m)
	}
}

// If others need its place, a stranger cannot keep its connection open by sending one request after the other.
func TestOldConnectionIsNotKeptInACrowd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		places := newPlaces(1<<16, &Config{})
		h := newDoor("listen", make(pipes), places, slog.New(slog.DiscardHandler)).welcome(http.NotFoundHandler())
		g, _ := pipeGuest(t, places, "192.0.2.1:1000")
		kept := func() bool {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r.WithContext(withGuest(r.Context(), &visitor{Conn: g, guest: g})))
			return w.Header().Get("Connection") != "close"
		}
		if !kept() {
			t.Error("a new connection is not kept")
		}

		time.Sleep(strangerLife/2 + time.Second)
		if !kept() {
			t.Error("an old connection is not kept although there is room")
		}

		defer places.strangers.crowd(t)()
		if kept() {
			t.Error("an old connection is kept in a crowd")
		}
	})
}

// The relay refuses an address that makes too many requests, but serves others behind the same proxy. Some time later
// it serves that address again.
func TestRequestsOfAnAddressAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		places := newPlaces(1<<16, &Config{TrustedProxies: testNetworks, ProxyHeader: XForwardedFor})
		serve := welcomed(newDoor("listen", make(pipes), places, slog.New(slog.DiscardHandler)))
		of := func(client string) int {
			status, _ := serve("127.0.0.1:5", http.Header{"X-Forwarded-For": {client}})
			return status
		}
		busy, all := 0, int(workSize())
		for busy <= all && of("192.0.2.1") == http.StatusOK {
			busy++
		}

		if busy < all/20 || busy > all/4 {
			t.Errorf("one address made %d of %d requests", busy, all)
		}
		for i := range 100 {
			if status := of(fmt.Sprintf("198.51.100.%d", i)); status != http.StatusOK {
				t.Errorf("another address: %d", status)
			}
		}

		if status := of("192.0.2.1"); status != http.StatusTooManyRequests {
			t.Errorf("the busy address: %d", status)
		}
		time.Sleep(workWindow)
		if status := of("192.0.2.1"); status != http.StatusOK {
			t.Errorf("the busy address, %v later: %d", workWindow, status)
		}
	})
}

// mapped asks a relay over TCP which address it sees, and returns that, or "nobody" if it gets no answer.
func mapped(t *testing.T, address, header string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	c := conn.(*net.TCPConn)
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(append([]byte(header), binding()...)); err != nil || c.CloseWrite() != nil {
		return "nobody"
	}
	p := make([]byte, 512)
	n, err := c.Read(p)
	if err != nil || n < 32 || binary.BigEndian.Uint16(p) != 0x0101 || binary.BigEndian.Uint16(p[20:]) != 0x0020 {
		return "nobody"
	}

	port := binary.BigEndian.Uint16(p[26:]) ^ 0x2112
	ip := make([]byte, 4)
	for i := range ip {
		ip[i] = p[28+i] ^ p[4+i]
	}

	at, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(at, port).String()
}

// At every port, the client is the one that a trusted proxy names in a PROXY header: TURN returns that address.
func TestProxyProtocolReachesEveryDoor(t *testing.T) {
	proxied := func(network string) map[string]string {
		r := serveRelay(t, func(c *Config) {
			c.TrustedProxies, c.ProxyHeader = []netip.Prefix{netip.MustParsePrefix(network)}, PROXYProtocol
		})
		overTCP, _, _ := strings.Cut(strings.TrimPrefix(r.TURNURLs()[1], "turn:"), "?")
		return map[string]string{"Listen": strings.TrimPrefix(r.URL(), "http://"), "TURN": overTCP}
	}

	const v1 = "PROXY TCP4 192.0.2.7 10.0.0.1 12344 443\r\n" // not v2's client, which may still be connected
	v2 := string(proxyHeader2For(proxyProxy, proxyTCP4, body4...))
	for name, at := range proxied("127.0.0.1/32") {
		for header, client := range map[string]string{v1: "192.0.2.7:12344", v2: "192.0.2.7:12345"} {
			if got := mapped(t, at, header); got != client {
				t.Errorf("%s, %q: %s", name, header, got)
			}
		}

		if got := mapped(t, at, "PROXY UNKNOWN\r\n"); !strings.HasPrefix(got, "127.0.0.1:") {
			t.Errorf("%s, by the proxy itself: %s", name, got)
		}
		if got := mapped(t, at, ""); got != "nobody" {
			t.Errorf("%s, without a header: %s", name, got)
		}
	}

	for name, at := range proxied("10.0.0.0/8") {
		if got := mapped(t, at, ""); !strings.HasPrefix(got, "127.0.0.1:") {
			t.Errorf("%s, of a stranger: %s", name, got)
		}
		if got := mapped(t, at, v1); got != "nobody" {
			t.Errorf("%s, of a stranger that claims to be a proxy: %s", name, got)
		}
	}
}

// binding is a STUN request that every TURN server answers (RFC 8489, section 2.1).
func binding() []byte {
	request := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 19: 0}
	rand.Read(request[8:])
	return request
}
