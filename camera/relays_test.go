package camera

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
)

// A relay that was home or standby stays open for a day, and at most two do.
func TestFormerRelaysStayOpenForADay(t *testing.T) {
	now := time.Now()
	s := relayState{}.given("https://a.example", now)
	want := func(at time.Duration, urls ...string) {
		t.Helper()
		if got := s.settled(s.Home, s.Standby, now.Add(at)).open(); !slices.Equal(got, urls) {
			t.Errorf("after %v: %q, want %q", at, got, urls)
		}
	}
	want(0, "https://a.example")

	s = s.settled("https://a.example", "https://b.example", now)
	want(time.Hour, "https://a.example", "https://b.example")
	s = s.settled("https://b.example", "https://c.example", now.Add(time.Hour))
	want(24*time.Hour, "https://b.example", "https://c.example", "https://a.example")
	want(25*time.Hour, "https://b.example", "https://c.example")

	s = s.settled("https://d.example", "https://e.example", now.Add(2*time.Hour))
	want(3*time.Hour, "https://d.example", "https://e.example", "https://b.example", "https://c.example")
	s = s.settled("https://b.example", "https://e.example", now.Add(3*time.Hour)) // b is back, and no former one
	want(4*time.Hour, "https://b.example", "https://e.example", "https://d.example", "https://c.example")
}

// Another relay in the configuration may be another operator's: nothing that was learned at the first counts, but those
// who know the first still find the camera there.
func TestAnotherGivenRelayForgetsTheOperator(t *testing.T) {
	now := time.Now()
	s := relayState{}.given("https://a.example", now)
	s.Operator, s.Map = []byte("key"), "map"
	s = s.settled("https://b.example", "https://c.example", now)
	if again := s.given("https://a.example", now); !reflect.DeepEqual(again, s) {
		t.Errorf("after a restart: %+v, want %+v", again, s)
	}

	other := s.given("https://z.example", now)
	if want := []string{"https://z.example", "https://b.example", "https://c.example"}; other.Operator != nil ||
		other.Map != "" || !slices.Equal(other.open(), want) {
		t.Errorf("%+v", other)
	}
	if got := other.mapSources(); !slices.Equal(got, []string{"https://z.example"}) {
		t.Errorf("before a key is pinned, a map may come from %q", got)
	}
	if other.isForeign("https://z.example") || !other.isForeign("https://b.example") {
		t.Errorf("whose relays: %+v", other.Former)
	}
	if !bytes.Equal(other.Seed, s.Seed) {
		t.Error("the place seed has changed")
	}
}

// Once a key is pinned, the operator's map may come from any relay of the operator where the camera is.
func TestMapComesFromTheOperatorsRelays(t *testing.T) {
	s := relayState{}.given("https://a.example", time.Now())
	s.Operator = []byte("key")
	s = s.settled("https://b.example", "https://c.example", time.Now())
	want := []string{"https://a.example", "https://b.example", "https://c.example"}
	if got := s.mapSources(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// logLines gets each line of a log.
type logLines chan string

func (l logLines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default: // nobody reads them any more
	}
	return len(b), nil
}

// newLoggedCamera returns a camera that was given a relay and does not run, and its log.
func newLoggedCamera(t *testing.T) (*Camera, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	c, _ := newCamera(t, Config{
		State:    t.TempDir(),
		RelayURL: "https://a.example",
		Logger:   slog.New(slog.NewTextHandler(&log, nil)),
	})
	return c, &log
}

// A map of another key is reported once, and only if the relay that the camera was given serves it.
func TestAnotherOperatorsMapIsReported(t *testing.T) {
	c, log := newLoggedCamera(t)
	const warning = "the relay's map of regions is not used: it is signed by another operator than before. " +
		"Ask the operator first. Only if the key is new, stop the camera, remove relays.json from its state folder"
	for _, tt := range []struct {
		url  string
		err  error
		want int
	}{
		{"https://b.example", region.ErrOperator, 0},
		{"https://a.example", region.ErrMap, 0},
		{"https://a.example", region.ErrOperator, 1},
		{"https://a.example", region.ErrOperator, 1},
	} {
		c.relays.reportMap(tt.url, tt.err)
		if got := strings.Count(log.String(), warning); got != tt.want {
			t.Errorf("after %v of %s: %d warnings, want %d:\n%s", tt.err, tt.url, got, tt.want, log)
		}
	}
}

// The ticket is for the operator of the relay that the camera was given. A former one would take it for a forged one.
func TestFormerOperatorGetsNoTicket(t *testing.T) {
	former, _ := startRelay(t) // wants tickets
	given, operator := startRelay(t)
	ticket := signaling.Ticket{NotAfter: time.Now().Add(time.Hour), Mailboxes: 9, SessionsPerHour: 9}.Issue(operator)
	state := t.TempDir()
	before, _ := newCamera(t, Config{State: state, RelayURL: former})
	before.relays.save()

	log := make(logLines, 1000)
	c, _ := newCamera(t, Config{
		State:    state,
		RelayURL: given,
		Ticket:   ticket,
		Logger:   slog.New(slog.NewTextHandler(log, nil)),
	})
	run(t, func(ctx context.Context) error { c.relays.run(ctx); return nil })
	_, read, err1 := ed25519.GenerateKey(nil)
	_, write, err2 := ed25519.GenerateKey(nil)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	box := signaling.Mailbox{Read: read, Write: write, Ticket: ticket}
	defer c.signal.Keep(box)()
	at := slices.Index(c.relays.state.open(), former)
	if _, err := c.relays.all()[at].Grant(t.Context(), box, ""); err == nil { // the mailbox goes before it
		t.Error("the former relay serves a camera without a ticket")
	}
	for len(log) > 0 {
		if line := <-log; strings.Contains(line, signaling.ErrTicket.Error()) {
			t.Errorf("the ticket was shown: %s", line)
		}
	}
}

// Who asks hears of the state of home, whichever relay that is now.
func TestStateIsThatOfTheNewHome(t *testing.T) {
	var told []error
	c, _ := newCamera(t, Config{
		State:    t.TempDir(),
		RelayURL: "https://a.example",
		OnRelay:  func(err error) { told = append(told, err) },
	})
	c.relays.settle("https://a.example", "https://b.example", nil)
	lost := errors.New("lost")
	c.relays.reportState("https://b.example", nil)
	c.relays.reportState("https://a.example", lost)
	c.relays.settle("https://b.example", "https://a.example", nil)
	if !slices.Equal(told, []error{lost, nil}) {
		t.Errorf("told %v", told)
	}
}

// A relay that answers over HTTP and does no signaling counts as unreachable, but only after a while.
func TestRelayWithoutSignalingIsUnreachable(t *testing.T) {
	c, _ := newCamera(t, Config{State: t.TempDir(), RelayURL: "https://a.example"})
	r := c.relays
	now := time.Now()
	left := func(at time.Duration) int {
		measured := map[string]time.Duration{"https://a.example": 1, "https://b.example": 1}
		r.dropAway(measured, now.Add(at))
		return len(measured)
	}
	if n := left(awayFor / 2); n != 2 || r.anyAway(now.Add(awayFor/2)) {
		t.Errorf("soon: %d", n)
	}
	if n := left(2 * awayFor); n != 1 || !r.anyAway(now.Add(2*awayFor)) {
		t.Errorf("later: %d", n)
	}
	r.reportState("https://a.example", nil)
	if n := left(2 * awayFor); n != 2 || r.anyAway(now.Add(2*awayFor)) {
		t.Errorf("connected: %d", n)
	}
}

// A code leads to the standby while home is away.
func TestCodeLeadsToARelayThatIsThere(t *testing.T) {
	standby, _ := startRelay(t)
	c, _ := newCamera(t, Config{State: t.TempDir(), RelayURL: "http://127.0.0.1:1"}) // nobody listens there
	c.relays.settle("http://127.0.0.1:1", standby, nil)
	if _, url := c.relays.pairingRelay(); url != "http://127.0.0.1:1" {
		t.Errorf("before any was reached: %s", url)
	}
	run(t, func(ctx context.Context) error { c.relays.run(ctx); return nil })
	eventually(t, "a code leads to the standby", func() bool {
		_, url := c.relays.pairingRelay()
		return url == standby
	})
}

// The version of a list changes with what a viewer must know, and with nothing else.
func TestRelayListVersion(t *testing.T) {
	c, _ := newCamera(t, Config{State: t.TempDir(), RelayURL: "https://a.example"})
	first := c.relays.list()
	if !first.Valid() || first.Home.URL != "https://a.example" || first.Standby != nil {
		t.Errorf("%+v", first)
	}
	if c.relays.listFor(first.Version) != nil {
		t.Error("a viewer that holds the list gets it again")
	}

	c.relays.change(func() {
		c.relays.measured = map[string]time.Duration{"https://a.example": 1500 * time.Microsecond}
	})
	far := c.relays.list()
	if !bytes.Equal(far.Version, first.Version) || far.Home.RoundTrip != 2 {
		t.Errorf("another round trip: %+v", far)
	}
	c.relays.settle("https://a.example", "https://b.example", nil)
	second := c.relays.listFor(first.Version)
	if second == nil || !second.Valid() || second.Standby.URL != "https://b.example" {
		t.Fatalf("%+v", second)
	}
	if list := c.relays.listFor(make([]byte, session.RelayVersionSize)); list == nil {
		t.Error("a viewer without a list gets none")
	}
}

func FuzzRelayState(f *testing.F) {
	f.Add([]byte(`{"version":1,"relay":"https://a.example","seed":"AAAAAAAAAAAAAAAAAAAAAA==",` +
		`"home":"https://a.example","standby":"https://b.example",` +
		`"former":[{"url":"https://c.example","until":"2026-12-02T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseRelayState(b)
		if err != nil {
			if !errors.Is(err, errRelaysFile) && !errors.Is(err, errRelaysFileNewer) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := parseRelayState(again); err != nil || !reflect.DeepEqual(parsed.open(), s.open()) {
			t.Errorf("%q: %v", again, err)
		}
		if len(s.Seed) != region.SeedSize || len(s.open()) > 2+maxFormer {
			t.Errorf("%+v", s)
		}
	})
}

// A damaged file costs what was learned, and nothing else.
func TestDamagedRelaysFileIsMadeAnew(t *testing.T) {
	state := t.TempDir()
	path := filepath.Join(state, relaysFileName)
	for name, damaged := range map[string]string{
		"torn":  `{"version":1,"relay":"https://a.exam`,
		"newer": `{"version":2}`,
		"empty": "",
	} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		c, _ := newCamera(t, Config{
			State:    state,
			RelayURL: "https://a.example",
			Logger:   slog.New(slog.NewTextHandler(&log, nil)),
		})
		if !strings.Contains(log.String(), "the file of relays cannot be read, and is made anew") {
			t.Errorf("%s: the log says %s", name, &log)
		}
		if list := c.relays.list(); list.Home.URL != "https://a.example" || !list.Valid() {
			t.Errorf("%s: %+v", name, list)
		}

		c.relays.save()
		if s, err := readRelayState(path); err != nil || s.Home != "https://a.example" {
			t.Errorf("%s: made anew: %+v, %v", name, s, err)
		}
	}
}

func TestRelaysThatCannotBeKept(t *testing.T) {
	c, log := newLoggedCamera(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := c.relays.path
	c.relays.path = filepath.Join(file, "no folder")
	c.relays.save()
	if !strings.Contains(log.String(), "the camera's relays cannot be kept on disk: make room there") {
		t.Errorf("the log says %s", log)
	}

	c.relays.path = good
	c.relays.save()
	if s, err := readRelayState(good); err != nil || s.Home != "https://a.example" {
		t.Errorf("once there is room: %+v, %v", s, err)
	}
}
