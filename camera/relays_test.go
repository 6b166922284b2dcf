package camera

import (
	"bytes"
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
	if !bytes.Equal(other.Seed, s.Seed) {
		t.Error("the place seed has changed")
	}
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

	c.relays.measured = map[string]time.Duration{"https://a.example": 1500 * time.Microsecond}
	far := c.relays.list()
	if !bytes.Equal(far.Version, first.Version) || far.Home.RoundTrip != 2 {
		t.Errorf("another round trip: %+v", far)
	}
	c.relays.state = c.relays.state.settled("https://a.example", "https://b.example", time.Now())
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
	var log bytes.Buffer
	c, _ := newCamera(t, Config{
		State:    t.TempDir(),
		RelayURL: "https://a.example",
		Logger:   slog.New(slog.NewTextHandler(&log, nil)),
	})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := c.relays.path
	c.relays.path = filepath.Join(file, "no folder")
	c.relays.save()
	if !strings.Contains(log.String(), "the camera's relays cannot be kept on disk: make room there") {
		t.Errorf("the log says %s", &log)
	}

	c.relays.path = good
	c.relays.save()
	if s, err := readRelayState(good); err != nil || s.Home != "https://a.example" {
		t.Errorf("once there is room: %+v, %v", s, err)
	}
}
