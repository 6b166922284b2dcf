package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/turn"
)

// served is a relay in this process.
type served struct {
	url, certificate string
	stop             func() // once; returns when run has
	log              *bytes.Buffer
}

func serveRelay(t *testing.T, args ...string) *served {
	t.Helper()
	args = append([]string{"serve", "-listen", "127.0.0.1:0", "-turn", "127.0.0.1:0", "-state", t.TempDir()}, args...)
	out, stdout := io.Pipe()
	s := &served{log: new(bytes.Buffer)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, stdout, s.log)
		stdout.CloseWithError(io.EOF)
		ended <- err
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("relay serve:", err)
		}
	})
	t.Cleanup(s.stop)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "certificate":
			s.certificate = strings.TrimPrefix(rest, "sha256 ")
		case "ready":
			s.url = rest
			return s
		}
	}
	t.Fatalf("relay serve ended: %v; it said %s", <-ended, s.log)
	return nil
}

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

func TestPages(t *testing.T) {
	s := serveRelay(t)
	_, index := get(t, http.DefaultClient, s.url+"/")
	for path, status := range map[string]int{
		"/": 200, "/pair": 200, "/index.html": 200, "/missing": 404, "/pair/": 404, "/v1": 404, "/v1/signal": 426, "/../main.go": 404, "/.git/config": 404,
	} {
		r, body := get(t, http.DefaultClient, s.url+path)
		if r.StatusCode != status {
			t.Errorf("%s: status %d, want %d", path, r.StatusCode, status)
		}
		if status == 200 && (body != index || r.Header.Get("Content-Type") != "text/html; charset=utf-8") {
			t.Errorf("%s is not the page", path)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; worker-src 'self' blob:; img-src 'self' blob: data:; " +
				"media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Strict-Transport-Security": "",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if !strings.Contains(r.Header.Get("Permissions-Policy"), "camera=(self)") {
			t.Errorf("%s: the page may not use the camera", path)
		}
	}
	if r, err := http.Post(s.url+"/", "text/plain", nil); err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", r, err)
	}
}

// Everybody may know which servers there are; credentials are for grants.
func TestServersAreTold(t *testing.T) {
	s := serveRelay(t)
	r, body := get(t, http.DefaultClient, s.url+"/v1/servers")
	var said map[string][]string
	if err := json.Unmarshal([]byte(body), &said); err != nil || r.StatusCode != http.StatusOK || r.Header.Get("Date") == "" || r.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d, %v: %q", r.StatusCode, err, body)
	}
	if len(said) != 1 || len(said["urls"]) < 3 || !strings.HasPrefix(said["urls"][0], "turn:127.0.0.1:") {
		t.Errorf("said %q", said)
	}
}

func TestAssetsAreCached(t *testing.T) {
	p, err := newPages(fstest.MapFS{
		"index.html":            {Data: []byte("page")},
		"app.js":                {Data: []byte("code")},
		"assets/x-ABCD1234.css": {Data: []byte("style")},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: withHeaders(p)}
	l, err := listen("-listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	url := "http://" + l.Addr().String()
	r, body := get(t, http.DefaultClient, url+"/app.js")
	etag := r.Header.Get("ETag")
	if body != "code" || etag == "" || r.Header.Get("Cache-Control") != "no-cache" || r.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("app.js: %q, %v", body, r.Header)
	}
	if r, _ := get(t, http.DefaultClient, url+"/app.js", "If-None-Match", etag); r.StatusCode != http.StatusNotModified {
		t.Errorf("an unchanged app.js: status %d", r.StatusCode)
	}
	if r, body := get(t, http.DefaultClient, url+"/assets/x-ABCD1234.css"); body != "style" || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("a hashed file: %q, %v", body, r.Header)
	}
	if r, _ := get(t, http.DefaultClient, url+"/assets/"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a folder: status %d", r.StatusCode)
	}
	if _, err := newPages(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "make web") {
		t.Errorf("no page: %v", err)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	s := serveRelay(t, "-metrics", "127.0.0.1:0", "-log-format", "json", "-log-level", "debug")
	if _, body := get(t, http.DefaultClient, s.url+"/healthz"); body != "ok\n" {
		t.Errorf("healthz: %q", body)
	}
	if r, body := get(t, http.DefaultClient, s.url+"/readyz"); r.StatusCode != 200 || body != "signaling: ok\nturn: ok\n" {
		t.Errorf("readyz: %d %q", r.StatusCode, body)
	}
	_, body := get(t, http.DefaultClient, s.url+"/metrics")
	for _, want := range []string{
		"peephole_signaling_connections 0", `peephole_signaling_total{what="posted"} 0`, `peephole_signaling_refused_total{why="slow_reader"} 0`, `peephole_signaling_refused_total{why="reject"} 0`,
		`peephole_signaling_rejected_total{delivered="127.0.0.1",posted="127.0.0.1"} 0`, `peephole_signaling_rejected_total{delivered="127.0.0.1",posted="other"} 0`,
		"peephole_turn_allocations 0", `peephole_turn_auth_total{why="expired"} 0`, "go_goroutines",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	s.stop()
	if !strings.Contains(s.log.String(), `"msg":"serving"`) {
		t.Errorf("the log is %q", s.log)
	}
}

// What a device cannot open is counted under the relay's own name.
func TestRejectionsAreInTheMetrics(t *testing.T) {
	s := serveRelay(t, "-node", "east-1")
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	mb := signaling.Mailbox{Read: key, Write: key}
	c := clientOf(t, s.url)
	c.Receive(mb, func(d signaling.Delivery) bool { d.Reject(); return true })
	if err := c.Send(t.Context(), mb, []byte("x"), time.Minute); err != nil {
		t.Fatal(err)
	}
	const want = `peephole_signaling_rejected_total{delivered="east-1",posted="east-1"} 1`
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, body := get(t, http.DefaultClient, s.url+"/metrics")
		if strings.Contains(body, want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in the metrics", want)
		}
	}
}

// To the world the main listener says nothing of its insides.
func TestMetricsAreForLoopback(t *testing.T) {
	r := newRelay(t)
	for _, tt := range []struct {
		listen string
		want   int
	}{{"127.0.0.1:7880", 200}, {"[::1]:7880", 200}, {":443", 404}, {"192.0.2.1:443", 404}} {
		r.cfg.listen = tt.listen
		for _, path := range []string{"/metrics", "/healthz"} {
			w := recorded(t, r.handler(), path)
			if w.StatusCode != tt.want {
				t.Errorf("%s on %s: status %d, want %d", path, tt.listen, w.StatusCode, tt.want)
			}
		}
	}
	if w := recorded(t, r.metricsHandler(), "/metrics"); w.StatusCode != 200 {
		t.Errorf("on the metrics address: status %d", w.StatusCode)
	}
	if w := recorded(t, r.metricsHandler(), "/"); w.StatusCode != 404 {
		t.Errorf("the page on the metrics address: status %d", w.StatusCode)
	}
	if w := recorded(t, r.metricsHandler(), "/readyz"); w.StatusCode != 503 {
		t.Errorf("readyz of what does not run: status %d", w.StatusCode)
	}
}

func TestSelfSigned(t *testing.T) {
	s := serveRelay(t, "-tls-self-signed")
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Fatalf("url %s", s.url)
	}
	verify := func(raw [][]byte, _ [][]*x509.Certificate) error {
		if sum := sha256.Sum256(raw[0]); hex.EncodeToString(sum[:]) != s.certificate {
			t.Errorf("the certificate is not the one that was printed")
		}
		return nil
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: verify}} // the fingerprint decides
	defer transport.CloseIdleConnections()
	r, _ := get(t, &http.Client{Transport: transport}, s.url+"/")
	if r.TLS.Version != tls.VersionTLS13 || r.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("TLS %x, %v", r.TLS.Version, r.Header)
	}
	if err := r.TLS.PeerCertificates[0].VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
}

func TestGrantOverSignaling(t *testing.T) {
	s := serveRelay(t, "-turn-public", "relay.example:3478")
	c := clientOf(t, s.url)
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	g, err := c.Grant(t.Context(), signaling.Mailbox{Read: key, Write: key})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.URLs) != 3 || g.URLs[0] != "turn:relay.example:3478?transport=udp" || g.URLs[1] != "turn:relay.example:3478?transport=tcp" {
		t.Errorf("urls %q", g.URLs)
	}
	if g.TTL != 1800 || g.Viewer.Username == g.Camera.Username || g.Viewer.Credential == "" || g.Camera.Credential == "" {
		t.Errorf("ttl %d, usernames %q and %q", g.TTL, g.Viewer.Username, g.Camera.Username)
	}
	s.stop()
	for _, secret := range []string{g.Viewer.Credential, g.Camera.Credential} {
		if strings.Contains(s.log.String(), secret) {
			t.Error("a credential was logged")
		}
	}
}

func TestTicketAdmits(t *testing.T) {
	state := t.TempDir()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"ticket", "-state", state}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	ticket, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	s := serveRelay(t, "-state", state, "-admission", "ticket")
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	mb := signaling.Mailbox{Read: key, Write: key}
	c := clientOf(t, s.url)
	if err := c.Send(t.Context(), mb, []byte("x"), 0); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("without a ticket: %v", err)
	}
	mb.Ticket = ticket
	if err := c.Send(t.Context(), mb, []byte("x"), 0); err != nil {
		t.Errorf("with a ticket: %v", err)
	}
}

// Relays that are given one secret know each other's credentials, and its replacement is taken without a restart.
func TestSharedSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(b byte) {
		if err := os.WriteFile(file, bytes.Repeat([]byte{b}, turn.MinSecret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	urls := "turn:192.0.2.1:3478?transport=udp,turns:relay.example:443?transport=tcp"
	start := func() *turnService {
		s, err := newTURN(&config{turn: "127.0.0.1:0", turnSecret: file, turnAlso: urls}, "http://127.0.0.1:7880", nil, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.server.Close() })
		return s
	}
	keyOf := func(s *turnService) string {
		g, err := s.Grant("", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(g.URLs); n < 3 || strings.Join(g.URLs[n-2:], ",") != urls {
			t.Errorf("granted %v", g.URLs)
		}
		return g.Viewer.Username[strings.LastIndex(g.Viewer.Username, ":"):]
	}
	one, other := start(), start()
	first := keyOf(one)
	if keyOf(other) != first {
		t.Error("two relays with one secret have two keys")
	}
	if err := one.renew(); err != nil || keyOf(one) != first {
		t.Errorf("a secret that is as it was: %v", err)
	}
	write(2)
	if err := one.renew(); err != nil || keyOf(one) == first {
		t.Errorf("a replaced secret is not taken: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := one.renew(); err == nil {
		t.Error("a secret that has gone is no error")
	}
}

func TestKeysAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := turn.NewKeys(make([]byte, turn.MinSecret), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &turnService{keys: keys, log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		go s.rotate(ctx)
		keyOf := func() string {
			g, err := s.Grant("", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return g.Viewer.Username[strings.LastIndex(g.Viewer.Username, ":"):]
		}
		first := keyOf()
		time.Sleep(rotateEvery - time.Second) // the bubble's clock
		if keyOf() != first {
			t.Error("rotated too early")
		}
		time.Sleep(2 * time.Second)
		if second := keyOf(); second == first {
			t.Error("not rotated after an hour")
		}
		cancel()
		synctest.Wait()
	})
}
