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
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// served is a relay that runs in this process.
type served struct {
	url, certificate string
	hangups          chan struct{}
	stop             func() // waits until run has returned; may be called more than once
	log              *lockedBuffer
}

func serveRelay(t *testing.T, args ...string) *served {
	t.Helper()
	args = append([]string{"serve", "-listen", "127.0.0.1:0", "-turn", "127.0.0.1:0", "-state", t.TempDir()}, args...)
	out, stdout := io.Pipe()
	s := &served{hangups: make(chan struct{}), log: new(lockedBuffer)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, s.hangups, args, stdout, s.log)
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

func TestPageIsServedAtItsPathsOnly(t *testing.T) {
	s := serveRelay(t)
	_, index := get(t, http.DefaultClient, s.url+"/")
	for path, status := range map[string]int{
		"/": 200, "/pair": 200, "/index.html": 200, "/missing": 404, "/pair/": 404, "/v1": 404, "/v1/signal": 426,
		"/../main.go": 404, "/.git/config": 404,
	} {
		r, body := get(t, http.DefaultClient, s.url+path)
		if r.StatusCode != status {
			t.Errorf("%s: status %d, want %d", path, r.StatusCode, status)
		}
		if status == 200 && (body != index || r.Header.Get("Content-Type") != "text/html; charset=utf-8") {
			t.Errorf("%s is not the page", path)
		}
	}

	if r, err := http.Post(s.url+"/", "text/plain", nil); err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", r, err)
	}
}

// Anyone may ask for the list of servers; only grants contain credentials.
func TestServersArePublic(t *testing.T) {
	s := serveRelay(t)
	r, body := get(t, http.DefaultClient, s.url+"/v1/servers")
	var said map[string][]string
	if err := json.Unmarshal([]byte(body), &said); err != nil || r.StatusCode != http.StatusOK ||
		r.Header.Get("Date") == "" || r.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d, %v: %q", r.StatusCode, err, body)
	}

	if len(said) != 1 || len(said["urls"]) < 3 || !strings.HasPrefix(said["urls"][0], "turn:127.0.0.1:") {
		t.Errorf("the list says %q", said)
	}
}

func TestHealthAndMetricsAreServed(t *testing.T) {
	s := serveRelay(t, "-metrics", "127.0.0.1:0", "-log-format", "json", "-log-level", "debug")
	if _, body := get(t, http.DefaultClient, s.url+"/healthz"); body != "ok\n" {
		t.Errorf("healthz: %q", body)
	}
	if r, body := get(t, http.DefaultClient, s.url+"/readyz"); r.StatusCode != 200 ||
		body != "signaling: ok\nturn: ok\nmail: ok\n" {
		t.Errorf("readyz: %d %q", r.StatusCode, body)
	}

	_, body := get(t, http.DefaultClient, s.url+"/metrics")
	for _, want := range []string{
		"peephole_signaling_connections 0", `peephole_signaling_total{what="posted"} 0`,
		`peephole_signaling_refused_total{why="slow_reader"} 0`, `peephole_signaling_refused_total{why="reject"} 0`,
		`peephole_signaling_rejected_total{delivered="127.0.0.1",posted="127.0.0.1"} 0`,
		`peephole_signaling_rejected_total{delivered="127.0.0.1",posted="other"} 0`,
		"peephole_mail_messages 0",
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

// A circuit relay is looked at as the other parts are.
func TestCircuitRelayIsWatched(t *testing.T) {
	s := serveRelay(t, "-metrics", "127.0.0.1:0", "-p2p", "127.0.0.1:0")
	if r, body := get(t, http.DefaultClient, s.url+"/readyz"); r.StatusCode != 200 ||
		body != "signaling: ok\nturn: ok\nmail: ok\ncircuits: ok\n" {
		t.Errorf("readyz: %d %q", r.StatusCode, body)
	}

	_, body := get(t, http.DefaultClient, s.url+"/metrics")
	for _, want := range []string{
		"peephole_circuit_connections 0", "peephole_circuit_reservations 0", "peephole_circuit_circuits 0",
		"peephole_circuit_circuits_total 0", "peephole_circuit_refused_total 0",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}

// The metrics count, under the relay's own name, the messages that devices could not open.
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
	for deadline := time.Now().Add(patience); ; {
		_, body := get(t, http.DefaultClient, s.url+"/metrics")
		if strings.Contains(body, want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in the metrics", want)
		}
	}
}

func TestSelfSignedFingerprintIsPrinted(t *testing.T) {
	s := serveRelay(t, "-tls-self-signed")
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Fatalf("url %s", s.url)
	}
	verify := func(raw [][]byte, _ [][]*x509.Certificate) error {
		if sum := sha256.Sum256(raw[0]); hex.EncodeToString(sum[:]) != s.certificate {
			t.Errorf("the certificate does not match the printed fingerprint")
		}
		return nil
	}

	// the fingerprint decides
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: verify}}
	defer transport.CloseIdleConnections()
	r, _ := get(t, &http.Client{Transport: transport}, s.url+"/")
	if r.TLS.Version != tls.VersionTLS13 || r.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("TLS %x, %v", r.TLS.Version, r.Header)
	}

	if err := r.TLS.PeerCertificates[0].VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
}

func TestGrantHasCredentialsForBothEnds(t *testing.T) {
	s := serveRelay(t, "-turn-public", "relay.example:3478")
	c := clientOf(t, s.url)
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	g, err := c.Grant(t.Context(), signaling.Mailbox{Read: key, Write: key}, "")
	if err != nil {
		t.Fatal(err)
	}

	if len(g.URLs) != 3 || g.URLs[0] != "turn:relay.example:3478?transport=udp" ||
		g.URLs[1] != "turn:relay.example:3478?transport=tcp" {
		t.Errorf("urls %q", g.URLs)
	}
	if g.TTL != 1800 || g.Viewer.Username == g.Camera.Username || g.Viewer.Credential == "" ||
		g.Camera.Credential == "" {
		t.Errorf("ttl %d, usernames %q and %q", g.TTL, g.Viewer.Username, g.Camera.Username)
	}

	s.stop()
	for _, secret := range []string{g.Viewer.Credential, g.Camera.Credential} {
		if strings.Contains(s.log.String(), secret) {
			t.Error("a credential was logged")
		}
	}
}

// issueTicket issues a ticket with the operator key in a state folder.
func issueTicket(t *testing.T, state string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), nil, []string{"ticket", "-state", state}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}

	ticket, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestTicketAdmits(t *testing.T) {
	state := t.TempDir()
	ticket := issueTicket(t, state)
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
