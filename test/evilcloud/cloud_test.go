package evilcloud

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/noleak"
)

func TestMain(m *testing.M) { noleak.Main(m) }

// start runs a cloud until the test ends.
func start(t *testing.T, cfg Config) *Cloud {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()

	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})

	return c
}

// page reports whether a node serves its page.
func page(url string) bool {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	r, err := client.Get(url)
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// A restarted cloud is at its old address, with other keys.
func TestRestartedCloudHasOtherKeys(t *testing.T) {
	c := start(t, Config{Signaling: []string{"127.0.0.1:0", "127.0.0.2:0"},
		TURN: []string{"127.0.0.1:0", "127.0.0.2:0"}})
	before, err := c.nodes[0].Grant("", signaling.Name{}, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}

	urls := c.URLs()
	if err := c.Restart(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	after, err := c.nodes[0].Grant("", signaling.Name{}, "", time.Now())
	if err != nil || after.Viewer.Credential == before.Viewer.Credential || after.URLs[0] != before.URLs[0] {
		t.Errorf("grants %v and %v, %v; want the same place and other keys", before.URLs, after.URLs, err)
	}

	for i, url := range c.URLs() {
		if url != urls[i] || !page(url) {
			t.Errorf("node %d was at %s and is at %s, or does not serve", i, urls[i], url)
		}
	}
}

// A restart loses what waited in a mailbox, and clients come back by themselves.
func TestRestartLosesAll(t *testing.T) {
	c, a, _ := startWithTwoDevices(t)
	waiting := newMailbox(t)
	if err := a.Send(t.Context(), waiting, []byte("before"), time.Minute); err != nil {
		t.Fatal(err)
	}
	secret := c.Dump().Secrets[0]
	if err := c.Restart(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(t.Context(), waiting, []byte("after"), time.Minute); err != nil {
		t.Fatal(err)
	}

	first := make(chan string, 8)
	defer a.Receive(waiting, func(m signaling.Delivery) bool { first <- string(m.Body); return true })()
	if got := <-first; got != "after" || bytes.Equal(secret, c.Dump().Secrets[0]) {
		t.Errorf("%q came first; want what was posted after the restart, and other keys", got)
	}
}

// tape keeps what was recorded.
type tape struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (p *tape) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *tape) has(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(p.text.String(), text)
}

// The tape has both directions of signaling and of the page, in the clear as the relay sees them, and the log.
func TestTapeHoldsBothDirections(t *testing.T) {
	p := &tape{}
	c := start(t, Config{Tape: p})
	d := newDevice(t, c.URLs()[0])
	if err := d.Send(t.Context(), d.box, []byte("reject this"), 0); err != nil || !page(c.URLs()[0]) {
		t.Fatal("no relay", err)
	}

	for _, text := range []string{"reject this", "GET /v1/signal HTTP/1.1", "GET / HTTP/1.1", "<title>Peephole</title>",
		"a client rejected a delivery"} {
		eventually(t, text+" on the tape", func() bool { return p.has(text) })
	}
}
