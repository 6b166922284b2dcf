package relay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling/region"
	"github.com/peephole-cam/peephole/test/bubble"
)

// An operator signs maps of regions, which its relay reads.
type operator struct {
	key ed25519.PrivateKey

	mu   sync.Mutex
	wire []byte // guarded by mu
	err  error  // guarded by mu
}

func newOperator() *operator {
	return &operator{key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))}
}

// sign signs a map of n regions, issued at the given time, which the relay reads from now on.
func (o *operator) sign(t *testing.T, n int, issued time.Time, life time.Duration) {
	t.Helper()
	m := region.Map{Issued: issued.Truncate(time.Second), NotAfter: issued.Add(life).Truncate(time.Second)}
	for i := range n {
		host := fmt.Sprintf("r%d.%s.example", i, strings.Repeat("a", 60))
		m.Regions = append(m.Regions, region.Region{Name: fmt.Sprint(i), URL: "https://" + host, TURN: host + ":3478"})
	}
	wire, err := m.Sign(o.key)
	if err != nil {
		t.Fatal(err)
	}
	o.replace(wire, nil)
}

// replace sets what read returns.
func (o *operator) replace(wire []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wire, o.err = wire, err
}

func (o *operator) read() ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wire, o.err
}

// served asks the relay for the map as a device does, and returns how many regions it has.
func (o *operator) served(t *testing.T, r *Relay) int {
	t.Helper()
	response := recorded(t, r.handler(), region.Path)
	wire, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	m, err := region.Open(wire, o.key.Public().(ed25519.PublicKey), time.Now())
	if err != nil && !errors.Is(err, region.ErrExpired) {
		t.Fatalf("%d %q: %v", response.StatusCode, wire, err)
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("it is %s", kind)
	}
	return len(m.Regions)
}

func TestReloadServesAnotherMap(t *testing.T) {
	o, day := newOperator(), 24*time.Hour
	o.sign(t, 2, time.Now().Add(-time.Minute), 90*day)
	r := newRelay(t, func(c *Config) { c.Regions = o.read })
	if n := o.served(t, r); n != 2 {
		t.Errorf("%d regions", n)
	}

	o.sign(t, 3, time.Now(), 60*day)
	if err := r.Reload(); err != nil || o.served(t, r) != 3 {
		t.Errorf("%d regions after another map: %v", o.served(t, r), err)
	}
	if err := r.Reload(); err != nil {
		t.Errorf("the same map once more: %v", err)
	}
	if left := time.Until(r.RegionsExpire()); left < 59*day || left > 61*day {
		t.Errorf("it expires in %v", left)
	}
}

// What cannot replace the map leaves it served, and the reason says what to do.
func TestBadMapLeavesTheOldOneServed(t *testing.T) {
	o := newOperator()
	now := time.Now()
	o.sign(t, 2, now, time.Hour)
	r := newRelay(t, func(c *Config) { c.Regions = o.read })
	good, own := o.wire, o.key

	for _, tt := range []struct {
		want  string
		spoil func()
	}{
		{"the map of regions was issued at", func() { o.sign(t, 1, now.Add(-time.Minute), time.Hour) }},
		{"give this relay the newest one, or sign it again", func() { o.sign(t, 1, now, time.Hour) }},
		{"which is in the future: correct the clock", func() { o.sign(t, 1, now.Add(25*time.Hour), time.Hour) }},
		{"and the one that is served has not: sign a new one", func() {
			o.sign(t, 1, now.Add(-2*time.Hour), time.Hour)
		}},
		{"is not what its key has signed", func() { o.wire = bytes.Replace(good, []byte("r1."), []byte("x1."), 1) }},
		{"signed by another key than the one that is served", func() {
			o.key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
			o.sign(t, 1, now.Add(time.Minute), time.Hour)
			o.key = own
		}},
		{"disk failed", func() { o.replace(nil, errors.New("disk failed")) }},
	} {
		tt.spoil()
		if err := r.Reload(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.want, err)
		}
		if n := o.served(t, r); n != 2 {
			t.Errorf("%s: %d regions are served", tt.want, n)
		}
	}

	if _, err := New(Config{Listen: "127.0.0.1:0", TURN: "127.0.0.1:0", Regions: o.read}); err == nil {
		t.Error("a relay begins without the map that it must serve")
	}
}

// A clock that was a year ahead when a map was signed keeps no later map out.
func TestMapOfTheFutureCanBeReplaced(t *testing.T) {
	o := newOperator()
	o.sign(t, 1, time.Now().Add(365*24*time.Hour), time.Hour)
	r := newRelay(t, func(c *Config) { c.Regions = o.read })
	o.sign(t, 2, time.Now(), time.Hour)
	if err := r.Reload(); err != nil || o.served(t, r) != 2 {
		t.Errorf("%d regions: %v", o.served(t, r), err)
	}
}

// An expired map is served all the same, since devices may try its regions, and the log tells the operator.
func TestOperatorIsToldWhatIsWrongWithAMap(t *testing.T) {
	const soon, over = "the map of regions expires soon", "the map of regions has expired"
	const ahead = "the map of regions may keep later ones out"
	const unnamed = "the map of regions does not name this relay: devices will not choose it"
	day := 24 * time.Hour
	for _, tt := range []struct {
		issued, life time.Duration
		url          string
		want         []string
	}{
		{-time.Minute, 90 * day, "https://r0." + strings.Repeat("a", 60) + ".example", nil},
		{-time.Minute, 90 * day, "", []string{unnamed}},
		{-time.Minute, 13 * day, "", []string{unnamed, "level=WARN msg=\"" + soon}},
		{-time.Minute, time.Second, "", []string{unnamed, "level=ERROR msg=\"" + over}},
		{2 * day, 90 * day, "", []string{unnamed, ahead}},
	} {
		o, log := newOperator(), new(bytes.Buffer)
		o.sign(t, 1, time.Now().Add(tt.issued), tt.life)
		r := newRelay(t, func(c *Config) {
			c.Regions, c.PublicURL, c.Logger = o.read, tt.url, slog.New(slog.NewTextHandler(log, nil))
		})
		if n := o.served(t, r); n != 1 {
			t.Errorf("%+v: %d regions", tt, n)
		}

		said := log.String()
		for _, sentence := range tt.want {
			if !strings.Contains(said, sentence) {
				t.Errorf("%+v: no %q in %s", tt, sentence, said)
			}
		}
		for _, sentence := range []string{soon, over, ahead, unnamed} {
			expected := slices.ContainsFunc(tt.want, func(w string) bool { return strings.Contains(w, sentence) })
			if strings.Contains(said, sentence) && !expected {
				t.Errorf("%+v: said %s", tt, said)
			}
		}
		if !strings.Contains(said, "serving a map of regions") {
			t.Errorf("%+v: said %s", tt, said)
		}
	}
}

// The map is read again every hour. While it cannot be, the log says so, still warns once a day that the old one
// expires, and says within the hour when it has.
func TestMapIsReadAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		o, log := newOperator(), new(lockedBuffer)
		o.sign(t, 1, time.Now(), 15*24*time.Hour)
		r := &Relay{cfg: Config{Regions: o.read}, log: slog.New(slog.NewTextHandler(log, nil))}
		if err := r.loadRegions(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.followRegions(ctx)

		o.sign(t, 2, time.Now().Add(time.Minute), 15*24*time.Hour)
		time.Sleep(readRegionsEvery + time.Second)
		if n := len(r.regions.current.Load().Regions); n != 2 {
			t.Errorf("%d regions an hour later", n)
		}

		o.replace(nil, errors.New("disk failed"))
		time.Sleep(4 * 24 * time.Hour)
		const unread = "the map of regions could not be replaced; the old one stays in use"
		said := log.String()
		if n := strings.Count(said, unread); n != 4*24 {
			t.Errorf("said %d times in four days that it cannot be read", n)
		}
		if n := strings.Count(said, "expires soon"); n != 4 { // from the first day on
			t.Errorf("said %d times in four days that it expires soon", n)
		}

		left := time.Until(r.RegionsExpire())
		time.Sleep(left - time.Second)
		if strings.Contains(log.String(), "has expired") {
			t.Error("said that it has expired before it had")
		}
		time.Sleep(readRegionsEvery + time.Second)
		if n := strings.Count(log.String(), "has expired"); n != 1 {
			t.Errorf("said %d times in an hour that it has expired", n)
		}
	})
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

// A client pays for a large map as it pays for the page's files: one more for every 32 KiB.
func TestMapIsCharged(t *testing.T) {
	o := newOperator()
	o.sign(t, 200, time.Now(), time.Hour)
	r := newRelay(t, func(c *Config) { c.Regions = o.read })
	if work := len(o.wire) / workBytes; work != 1 {
		t.Fatalf("%d bytes cost %d", len(o.wire), work)
	}

	h := r.handler()
	ask := func(from string) int {
		w, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, region.Path, nil)
		req.RemoteAddr = from
		h.ServeHTTP(w, req)
		return w.Code
	}
	served := 0
	for served <= int(workSize()) && ask("192.0.2.1:1000") == http.StatusOK {
		served++
	}

	// An IPv4 address may use some 17 % of all at once.
	if share := float64(served) / float64(workSize()); share < 0.1 || share > 0.25 {
		t.Errorf("one address gets %d at once, of %d", served, workSize())
	}
	if code := ask("192.0.2.1:1001"); code != http.StatusTooManyRequests {
		t.Errorf("one more: %d", code)
	}
	if code := ask("192.0.2.2:1000"); code != http.StatusOK {
		t.Errorf("another address: %d", code)
	}
}
