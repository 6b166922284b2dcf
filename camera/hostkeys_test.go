package camera

import (
	"bytes"
	"crypto/ed25519"
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
)

// noList is the version that a viewer without a list says.
var noList = make([]byte, 8)

var alice, bob, carol = Fingerprint{1}, Fingerprint{2}, Fingerprint{3}

// hosts are a camera's host keys under test.
type hosts struct {
	*hostKeys
	t   *testing.T
	dir string
	log *bytes.Buffer
}

func openHosts(t *testing.T, state string) *hosts {
	t.Helper()
	log := new(bytes.Buffer)
	k, err := openHostKeys(Config{State: state, Logger: slog.New(slog.NewTextHandler(log, nil))}, theDay)
	if err != nil {
		t.Fatal(err)
	}
	return &hosts{k, t, state, log}
}

// ask asks for a list on some day.
func (h *hosts) ask(viewer Fingerprint, held []byte, days int) *session.HostList {
	return h.listFor(viewer, held, nil, theDay.Add(time.Duration(days)*aDay))
}

// get asks for a list, which must come, and returns its version.
func (h *hosts) get(viewer Fingerprint, held []byte, days int) []byte {
	h.t.Helper()
	l := h.ask(viewer, held, days)
	if l == nil || !l.Valid() {
		h.t.Fatalf("the viewer gets %+v", l)
	}
	return l.Version
}

// confirms asks with a version that must do.
func (h *hosts) confirms(viewer Fingerprint, version []byte) {
	h.t.Helper()
	if l := h.ask(viewer, version, 0); l != nil {
		h.t.Fatalf("the newest list is sent again: %+v", l)
	}
}

// announced returns how many names the camera goes by on some day.
func (h *hosts) announced(days int) int { return len(h.today(theDay.Add(time.Duration(days) * aDay))) }

func (h *hosts) expect(names, days int) {
	h.t.Helper()
	if n := h.announced(days); n != names {
		h.t.Errorf("after %d days the camera goes by %d names, want %d", days, n, names)
	}
}

// The camera goes by the key that its viewers' lists have for the day, also after a restart.
func TestHostKeyOfTodayIsOnTheList(t *testing.T) {
	state := t.TempDir()
	h := openHosts(t, state)
	list := h.ask(alice, noList, 0)
	for range 2 {
		for days := range 57 {
			today := h.today(theDay.Add(time.Duration(days) * aDay))
			if len(today) != 1 || !today[0].Public().(ed25519.PublicKey).Equal(list.PublicKeys()[3+days]) {
				t.Fatalf("after %d days the camera goes by %d names that are not on the list", days, len(today))
			}
		}
		h = openHosts(t, state)
	}

	if info, err := os.Stat(filepath.Join(state, "lan.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
}

// A list is sent to a viewer without one, and to one whose list ends soon, was made before the relays changed, or is of
// another seed.
func TestHostListIsSentOnlyIfItIsNeeded(t *testing.T) {
	h := openHosts(t, t.TempDir())
	version := h.get(alice, noList, 0)
	for name, tt := range map[string]struct {
		held   []byte
		days   int
		relays []string
		sent   bool
	}{
		"the newest":        {version, 0, nil, false},
		"27 days old":       {version, 27, nil, false},
		"28 days old":       {version, 28, nil, true},
		"a clock set back":  {version, -1, nil, true},
		"none":              {noList, 0, nil, true},
		"another camera's":  {newHostSeed().list(theDay, nil).Version, 0, nil, true},
		"from other relays": {version, 0, []string{"/ip4/192.0.2.1"}, true},
	} {
		h.relays = tt.relays
		if l := h.ask(bob, tt.held, tt.days); (l != nil) != tt.sent {
			t.Errorf("%s: %+v is sent", name, l)
		}
	}
}

// When a viewer with a list is removed, the camera goes by new names, which the others learn. It goes by the old ones
// too, until the last of the others has said that it has the new list.
func TestRemovedViewerNeverLearnsTheNewNames(t *testing.T) {
	state := t.TempDir()
	h := openHosts(t, state)
	old := h.get(alice, noList, 0)
	h.get(bob, noList, 0)
	h.get(carol, noList, 0)
	before := h.today(theDay)[0]
	h.forget(alice, theDay)
	h = openHosts(t, state) // as every state below, it is on disk

	now := h.today(theDay)
	if len(now) != 2 || now[0].Equal(before) || !now[1].Equal(before) {
		t.Fatalf("the camera goes by %d names", len(now))
	}
	list := h.ask(bob, old, 0)
	if list == nil || slices.ContainsFunc(list.PublicKeys(), func(k ed25519.PublicKey) bool {
		return k.Equal(before.Public())
	}) {
		t.Fatalf("Bob gets %+v", list)
	}

	h.expect(2, 0) // it may not have arrived
	h.confirms(bob, list.Version)
	h = openHosts(t, state)
	h.expect(2, 0)
	h.confirms(carol, h.get(carol, old, 0))
	h = openHosts(t, state)
	h.expect(1, 0)
	if now := h.today(theDay); !now[0].Public().(ed25519.PublicKey).Equal(list.PublicKeys()[3]) {
		t.Error("the camera goes by a name that Bob does not know")
	}
}

// A viewer that proves to hold the list counts as one that does, whatever the file says: it may be from a backup.
func TestViewerThatHoldsAListCounts(t *testing.T) {
	h := openHosts(t, t.TempDir())
	version := h.get(alice, noList, 0)
	h.state.holders = nil
	h.confirms(alice, version)
	if again := openHosts(t, h.dir); !slices.Equal(again.viewers(), []Fingerprint{alice}) {
		t.Error("it does not count")
	}
}

// Whoever never got a list keeps no name alive, and no removal of it changes one: a page has no use for lists.
func TestViewerWithoutAListCostsNoName(t *testing.T) {
	h := openHosts(t, t.TempDir())
	h.get(alice, noList, 0)
	before := h.today(theDay)[0]
	h.forget(bob, theDay)
	if now := h.today(theDay); len(now) != 1 || !now[0].Equal(before) {
		t.Errorf("the removal of a viewer without a list: the camera goes by %d names", len(now))
	}

	h.forget(alice, theDay)
	if now := h.today(theDay); len(now) != 1 || now[0].Equal(before) {
		t.Errorf("the removal of the only one with a list: the camera goes by %d names", len(now))
	}
}

// A viewer that is removed while others wait for it is not waited for.
func TestRemovedViewerIsNotWaitedFor(t *testing.T) {
	h := openHosts(t, t.TempDir())
	h.get(alice, noList, 0)
	h.get(bob, noList, 0)
	h.forget(alice, theDay)
	h.expect(2, 0)
	now := h.today(theDay)[0]
	h.forget(bob, theDay) // who does not know the new names
	if keys := h.today(theDay); len(keys) != 1 || !keys[0].Equal(now) {
		t.Errorf("the camera goes by %d names", len(keys))
	}
}

// Old names are announced for 30 days at most, by whichever clock: one that was years ahead adds nothing.
func TestOldNamesEndAfterThirtyDays(t *testing.T) {
	state := t.TempDir()
	h := openHosts(t, state)
	h.get(alice, noList, 0)
	h.get(bob, noList, 0)
	h.forget(alice, theDay)
	h.expect(2, 29)
	h.expect(1, 30)
	h.expect(1, 0)

	h.get(carol, noList, 0)
	h.get(bob, noList, 0)
	h.forget(carol, theDay.Add(2000*aDay))
	h.keep(theDay) // the clock is right again
	h = openHosts(t, state)
	h.expect(2, 29)
	h.keep(theDay.Add(30 * aDay))
	h = openHosts(t, state)
	h.expect(1, 0)
}

// However many viewers are removed, there are at most four names.
func TestNamesAreBounded(t *testing.T) {
	state := t.TempDir()
	h := openHosts(t, state)
	var seen []ed25519.PrivateKey
	for n := range 10 {
		one := Fingerprint{0xff, byte(n)}
		h.get(Fingerprint{0xfe, byte(n)}, noList, 0) // never comes again
		h.get(one, noList, 0)
		seen = append(seen, h.today(theDay)[0])
		h.forget(one, theDay)
		h = openHosts(t, state)
	}

	today := h.today(theDay)
	slices.Reverse(seen)
	if len(today) != 4 || !reflect.DeepEqual(today[1:], seen[:3]) {
		t.Errorf("the camera goes by %d names; want the newest four", len(today))
	}
}

// A viewer whose removal is under way gets no list any more, even in a session that is just being answered.
func TestNoListForAViewerThatIsBeingRemoved(t *testing.T) {
	h := openHosts(t, t.TempDir())
	removed := make(chan struct{})
	close(removed)
	if l := h.listFor(alice, noList, removed, theDay); l != nil || len(h.viewers()) > 0 {
		t.Errorf("it gets %+v; %d viewers have a list", l, len(h.viewers()))
	}
}

// No list goes out that the disk does not know of: after a restart, nobody would count as knowing the names.
func TestNoListThatCannotBeWrittenDown(t *testing.T) {
	h := openHosts(t, t.TempDir())
	file := filepath.Join(h.dir, "lan.json")
	inTheWay := filepath.Join(file, "x")
	if err := errors.Join(os.Remove(file), os.MkdirAll(inTheWay, 0o700)); err != nil {
		t.Fatal(err)
	}

	for range 2 {
		if l := h.ask(alice, noList, 0); l != nil {
			t.Fatalf("it gets %+v", l)
		}
	}
	if n := strings.Count(h.log.String(), "the LAN keys cannot be kept on disk"); n != 1 {
		t.Errorf("the log says it %d times:\n%s", n, h.log)
	}

	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	h.keep(theDay)
	if again := openHosts(t, h.dir); !again.today(theDay)[0].Equal(h.today(theDay)[0]) ||
		!slices.Equal(again.viewers(), []Fingerprint{alice}) {
		t.Error("the next try does not write what is held")
	}
}

// A damaged file, or one that others could read, gives way to new keys, and the log says so. A file of a newer version
// stays as it is.
func TestDamagedHostKeysAreMadeAnew(t *testing.T) {
	for _, tt := range []struct {
		name, why string
		damage    func(file string) error
	}{
		{"not JSON", "damaged file of LAN keys", func(file string) error {
			return os.WriteFile(file, []byte("{"), 0o600)
		}},
		{"empty", "damaged file of LAN keys", func(file string) error {
			return os.WriteFile(file, nil, 0o600)
		}},
		{"readable by others", "file holds secrets and is readable by others", func(file string) error {
			return os.Chmod(file, 0o644)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := openHosts(t, t.TempDir())
			before, file := h.today(theDay)[0], filepath.Join(h.dir, "lan.json")
			if err := tt.damage(file); err != nil {
				t.Fatal(err)
			}
			again := openHosts(t, h.dir)
			if again.today(theDay)[0].Equal(before) {
				t.Error("the old key is still used")
			}
			for _, said := range []string{tt.why, "the LAN keys cannot be read, and are made anew: " +
				"viewers find this camera without the relay again after their next session"} {
				if !strings.Contains(again.log.String(), said) {
					t.Errorf("the log says %q, and not %q", again.log, said)
				}
			}
			if third := openHosts(t, h.dir); !third.today(theDay)[0].Equal(again.today(theDay)[0]) {
				t.Error("the new key is not kept")
			}
		})
	}

	state := t.TempDir()
	newer := []byte(`{"version":2,"seed":["of","another","form"]}`)
	if err := os.WriteFile(filepath.Join(state, "lan.json"), newer, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{Stream: picture(), State: state, RelayURL: "http://127.0.0.1:1", LAN: true})
	if err == nil || !strings.Contains(err.Error(), "file of LAN keys of a newer version: update this program") {
		t.Errorf("a newer version: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(state, "lan.json")); err != nil || !bytes.Equal(b, newer) {
		t.Errorf("it is %q now, %v", b, err)
	}
}
