package relay

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling/region"
)

// atlas is an operator who signs maps of regions.
type atlas struct {
	key  ed25519.PrivateKey
	wire []byte // the map that its relay reads
	err  error
}

func newAtlas() *atlas {
	return &atlas{key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))}
}

// sign makes n regions the map, as from issued on.
func (a *atlas) sign(t *testing.T, n int, issued time.Time, life time.Duration) {
	t.Helper()
	m := region.Map{Issued: issued.Truncate(time.Second), NotAfter: issued.Add(life).Truncate(time.Second)}
	for i := range n {
		host := fmt.Sprintf("r%d.%s.example", i, strings.Repeat("a", 60))
		m.Regions = append(m.Regions, region.Region{Name: fmt.Sprint(i), URL: "https://" + host, TURN: host + ":3478"})
	}
	var err error
	if a.wire, err = m.Sign(a.key); err != nil {
		t.Fatal(err)
	}
}

func (a *atlas) read() ([]byte, error) { return a.wire, a.err }

// served asks the relay for the map as a device does, and returns how many regions it has.
func (a *atlas) served(t *testing.T, r *Relay) int {
	t.Helper()
	response := recorded(t, r.handler(), region.Path)
	wire, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	m, err := region.Open(wire, a.key.Public().(ed25519.PublicKey), time.Now())
	if err != nil && !errors.Is(err, region.ErrExpired) {
		t.Fatalf("%d %q: %v", response.StatusCode, wire, err)
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("it is %s", kind)
	}
	return len(m.Regions)
}

func TestRegionsAreServedAndReadAgain(t *testing.T) {
	a, day := newAtlas(), 24*time.Hour
	a.sign(t, 2, time.Now(), 90*day)
	r := newRelay(t, func(c *Config) { c.Regions = a.read })
	if n := a.served(t, r); n != 2 {
		t.Errorf("%d regions", n)
	}

	a.sign(t, 3, time.Now().Add(time.Second), 60*day)
	if err := r.Reload(); err != nil || a.served(t, r) != 3 {
		t.Errorf("%d regions after another map: %v", a.served(t, r), err)
	}
	if left := time.Until(r.RegionsExpire()); left < 59*day || left > 61*day {
		t.Errorf("it expires in %v", left)
	}
}

// What cannot replace the map leaves it served.
func TestBadMapLeavesTheOldOneServed(t *testing.T) {
	a, log := newAtlas(), new(bytes.Buffer)
	a.sign(t, 2, time.Now(), time.Hour)
	r := newRelay(t, func(c *Config) { c.Regions, c.Logger = a.read, slog.New(slog.NewTextHandler(log, nil)) })
	good := a.wire

	a.sign(t, 1, time.Now().Add(-time.Minute), time.Hour)
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), "before the one that is served") {
		t.Errorf("an older map: %v", err)
	}
	a.wire = bytes.Replace(good, []byte("r1."), []byte("x1."), 1)
	if err := r.Reload(); !errors.Is(err, region.ErrChanged) {
		t.Errorf("a changed map: %v", err)
	}
	a.wire, a.err = nil, errors.New("disk failed")
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), "disk failed") {
		t.Errorf("no map: %v", err)
	}
	r.readRegionsAgain()
	if n := a.served(t, r); n != 2 {
		t.Errorf("%d regions are served", n)
	}
	if !strings.Contains(log.String(), `"read map of regions; the old one stays in use" err="disk failed"`) {
		t.Errorf("said %s", log)
	}

	if _, err := New(Config{Listen: "127.0.0.1:0", TURN: "127.0.0.1:0", Regions: a.read}); err == nil {
		t.Error("a relay begins without the map that it is told to serve")
	}
}

// An expired map is served all the same, since devices may try its regions, and the operator is told.
func TestOperatorIsToldThatAMapExpires(t *testing.T) {
	for _, tt := range []struct {
		life time.Duration
		want string
	}{
		{90 * 24 * time.Hour, ""},
		{13 * 24 * time.Hour, "the map of regions expires soon"},
		{time.Second, "the map of regions has expired"},
	} {
		a, log := newAtlas(), new(bytes.Buffer)
		a.sign(t, 1, time.Now().Add(-time.Minute), tt.life)
		r := newRelay(t, func(c *Config) {
			c.Regions, c.Logger = a.read, slog.New(slog.NewTextHandler(log, nil))
		})
		if n := a.served(t, r); n != 1 {
			t.Errorf("%v: %d regions", tt.life, n)
		}

		said := log.String()
		if strings.Contains(said, "expire") != (tt.want != "") || !strings.Contains(said, tt.want) {
			t.Errorf("%v: said %s", tt.life, said)
		}
		if !strings.Contains(said, "the map of regions does not name this relay: devices will not choose it") ||
			!strings.Contains(said, "serving a map of regions") {
			t.Errorf("not told that this relay is not in the map: %s", said)
		}
	}
}

func TestRelayWithoutAMapSaysSo(t *testing.T) {
	r := newRelay(t)
	response := recorded(t, r.handler(), region.Path)
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusNotFound ||
		string(text) != "this relay serves no map of regions\n" || !r.RegionsExpire().IsZero() {
		t.Errorf("%d %q, %v", response.StatusCode, text, err)
	}
}

// A client pays for a large map as it pays for the page's files.
func TestMapIsCharged(t *testing.T) {
	a := newAtlas()
	a.sign(t, 200, time.Now(), time.Hour)
	r := newRelay(t, func(c *Config) { c.Regions = a.read })
	if len(a.wire) < workBytes {
		t.Fatalf("%d bytes cost nothing", len(a.wire))
	}

	h := r.handler()
	refused := false
	for range 10_000 {
		w, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, region.Path, nil)
		req.RemoteAddr = "192.0.2.1:1000"
		if h.ServeHTTP(w, req); w.Code == http.StatusTooManyRequests {
			refused = true
			break
		}
	}
	if !refused {
		t.Error("one address can ask for it 10,000 times at once")
	}
	other, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, region.Path, nil)
	req.RemoteAddr = "192.0.2.2:1000"
	if h.ServeHTTP(other, req); other.Code != http.StatusOK {
		t.Errorf("another address: %d", other.Code)
	}
}
