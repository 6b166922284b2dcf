package viewer

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling/region"
)

func aRelayList() session.RelayList {
	return session.RelayList{
		Version: bytes.Repeat([]byte{1}, session.RelayVersionSize),
		Home:    session.Place{Name: "a", URL: "https://a.example", RoundTrip: 12},
		Standby: &session.Place{Name: "b", URL: "https://b.example"},
		Seed:    bytes.Repeat([]byte{2}, region.SeedSize),
	}
}

// A list is kept beside its pair, and goes with it.
func TestRelayListIsKeptWithThePair(t *testing.T) {
	v, record := withCamera(t, Config{State: t.TempDir()})
	if k := v.relaysOf(record); k.List.Home.URL != record.RelayURL || k.List.Standby != nil ||
		!bytes.Equal(k.version(), make([]byte, session.RelayVersionSize)) {
		t.Errorf("before there is a list: %+v", k)
	}

	v.keepRelayList(record, aRelayList())
	k := v.relaysOf(record)
	if k.List.Home.URL != "https://a.example" || k.List.Standby.URL != "https://b.example" ||
		!bytes.Equal(k.version(), aRelayList().Version) {
		t.Errorf("%+v", k)
	}
	if err := v.Forget(record.Pair.Peer.Fingerprint().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(relayLists.path(v, record.Pair.Peer.Fingerprint())); err == nil {
		t.Error("a forgotten camera's list is still there")
	}
	v.keepRelayList(record, aRelayList())
	if _, err := os.Stat(relayLists.path(v, record.Pair.Peer.Fingerprint())); err == nil {
		t.Error("a forgotten camera's list has come back")
	}
}

// A camera on the internet must not lead its viewers to servers on their own machines.
func TestRelayListLeadsToNoServerOfThisMachine(t *testing.T) {
	var log bytes.Buffer
	v, record := withCamera(t, Config{State: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	list := aRelayList()
	for _, here := range []string{"https://localhost", "http://127.0.0.1:80"} {
		list.Standby.URL = here
		if err := list.FitsPair("https://a.example"); err == nil {
			t.Errorf("%s fits", here)
		}
	}

	record.RelayURL = "https://a.example"
	v.keepRelayList(record, list)
	if k := v.relaysOf(record); k.List.Standby != nil {
		t.Errorf("%+v", k)
	}
	for _, want := range []string{
		"the camera's list of relays is not used",
		"the camera names a relay on this machine, and was not paired at one",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log says %s, not %q", &log, want)
		}
	}
	if err := list.FitsPair("http://127.0.0.1:7880"); err != nil {
		t.Errorf("for a pair on this machine: %v", err)
	}
}

// A damaged file is as good as none, and is made anew.
func TestDamagedRelayListIsMadeAnew(t *testing.T) {
	var log bytes.Buffer
	v, record := withCamera(t, Config{State: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	v.keepRelayList(record, aRelayList())
	path := relayLists.path(v, record.Pair.Peer.Fingerprint())
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	for name, damaged := range map[string]string{
		"torn":  string(b[:len(b)/2]),
		"empty": "",
		"newer": strings.Replace(string(b), `"version": 1`, `"version": 2`, 1),
	} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if k := v.relaysOf(record); k.List.Home.URL != record.RelayURL {
			t.Errorf("%s: %+v", name, k)
		}
		if !strings.Contains(log.String(), "a camera's relays cannot be read: they come anew with its next session") {
			t.Errorf("%s: the log says %s", name, &log)
		}
		log.Reset()
		v.keepRelayList(record, aRelayList())
		if k := v.relaysOf(record); k.List.Home.URL != "https://a.example" {
			t.Errorf("%s: not made anew: %+v", name, k)
		}
	}
}

func TestRelayListThatCannotBeKeptIsTold(t *testing.T) {
	var log bytes.Buffer
	v, record := withCamera(t, Config{State: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := os.WriteFile(relayLists.dir(v), nil, 0o600); err != nil { // no folder can be made there
		t.Fatal(err)
	}
	v.keepRelayList(record, aRelayList())
	if !strings.Contains(log.String(), "a camera's relays cannot be kept on disk: make room there") {
		t.Errorf("the log says %s", &log)
	}
}

// The relays that the camera has named come first, and then the map's.
func TestPlacesToLookForACamera(t *testing.T) {
	_, operator, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := region.Map{Issued: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	for _, name := range []string{"a", "b", "c", "d"} {
		host := name + ".example"
		m.Regions = append(m.Regions, region.Region{Name: name, URL: "https://" + host, TURN: host + ":1"})
	}
	wire, err := m.Sign(operator)
	if err != nil {
		t.Fatal(err)
	}

	k := knownRelays{List: aRelayList(), Map: string(wire)}
	if named, more := k.places("https://a.example", time.Now()); len(named) != 2 || len(more) != 0 {
		t.Errorf("without a pinned key: %v, %v", named, more)
	}
	k.List.Operator = []byte(operator.Public().(ed25519.PublicKey))
	named, more := k.places("https://a.example", time.Now().Add(2*time.Hour)) // an expired map may be tried
	if len(named) != 2 || len(more) != 4 || named[0].Name != "a" || named[1].Name != "b" {
		t.Errorf("%v, %v", named, more)
	}
	for i, g := range region.PlaceOrder(k.List.Seed, m.Regions) {
		if more[i].Name != g.Name {
			t.Errorf("place %d is %s, want %s", i, more[i].Name, g.Name)
		}
	}

	for _, here := range []string{"http://127.0.0.1:1", "https://localhost", "https://[::1]"} {
		m.Regions[1].URL = here
		if wire, err = m.Sign(operator); err != nil {
			t.Fatal(err)
		}
		k.Map = string(wire)
		_, elsewhere := k.places("https://a.example", time.Now())
		_, local := k.places("http://127.0.0.1:2", time.Now())
		if len(elsewhere) != 3 || len(local) != 4 {
			t.Errorf("%s: %v, and %v for a pair of this machine", here, elsewhere, local)
		}
	}
}

func FuzzRelayList(f *testing.F) {
	b, err := json.Marshal(relayListFile{relayListFileVersion, knownRelays{List: aRelayList()}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseRelayList(b)
		if err != nil {
			if !errors.Is(err, errRelayListFile) && !errors.Is(err, errRelayListFileNewer) {
				t.Errorf("error %v", err)
			}
			return
		}
		if named, _ := k.places("https://a.example", time.Now()); len(named) == 0 || named[0].URL == "" {
			t.Errorf("%+v", named)
		}
	})
}
