package camera

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// theDay is some day of the tests.
var theDay = time.Date(2027, 3, 14, 12, 0, 0, 0, time.UTC)

const aDay = 24 * time.Hour

// The list has the keys of three days ago to those of 56 days ahead, in order. Another seed has no key in common.
func TestHostListHasTheKeysOfSixtyDays(t *testing.T) {
	s := newHostSeed()
	l := s.list(theDay, []string{"/ip4/192.0.2.1"})
	if !l.Valid() || l.First != s.day(theDay)-3 || !slices.Equal(l.Relays, []string{"/ip4/192.0.2.1"}) {
		t.Errorf("%+v", l)
	}

	keys := l.PublicKeys()
	for n := range 60 {
		at := theDay.Add(time.Duration(n-3) * aDay)
		if !s.key(s.day(at)).Public().(ed25519.PublicKey).Equal(keys[n]) {
			t.Errorf("key %d is not that of %v", n, at)
		}
	}

	other := newHostSeed().list(theDay, nil)
	for _, key := range append(keys, other.PublicKeys()...) {
		if n := countKey(append(keys, other.PublicKeys()...), key); n != 1 {
			t.Errorf("a key is there %d times", n)
		}
	}
}

func countKey(keys []ed25519.PublicKey, key ed25519.PublicKey) (n int) {
	for _, k := range keys {
		if k.Equal(key) {
			n++
		}
	}
	return n
}

// A camera whose clock was never set has a list, too.
func TestHostListBegins1970(t *testing.T) {
	s := newHostSeed()
	for _, at := range []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0), time.Unix(0, 0).Add(3 * aDay)} {
		if l := s.list(at, nil); !l.Valid() || l.First > 1 || !s.lasts(l.Version, at) {
			t.Errorf("at %v: the first day is %d", at, l.First)
		}
	}
}

// A list will do until 30 days before its end. Then, and when the camera's clock was set back, another is due.
func TestHostListLastsUntilThirtyDaysBeforeItsEnd(t *testing.T) {
	s := newHostSeed()
	version := s.list(theDay, nil).Version
	for after, want := range map[time.Duration]bool{
		-aDay: false, 0: true, aDay: true, 27 * aDay: true, 28 * aDay: false, 60 * aDay: false, 4000 * aDay: false,
		-4000 * aDay: false,
	} {
		if got := s.lasts(version, theDay.Add(after)); got != want {
			t.Errorf("%v after it was made, it will do: %t", after, got)
		}
	}
}

// A version belongs to one seed, one day and the relays, in their order.
func TestHostVersionBelongsToOneList(t *testing.T) {
	s, relays := newHostSeed(), []string{"/a", "/b"}
	version := s.list(theDay, relays).Version
	if !s.made(version, relays) {
		t.Error("a seed does not know its own version")
	}

	other := slices.Clone(version)
	other[3]++
	for name, known := range map[string]bool{
		"another seed":      newHostSeed().made(version, relays),
		"another day":       s.made(other, relays),
		"no relays":         s.made(version, nil),
		"relays turned":     s.made(version, []string{"/b", "/a"}),
		"relays joined":     s.made(version, []string{"/a/b"}),
		"zeros":             s.made(make([]byte, 8), relays),
		"nothing":           s.made(nil, relays),
		"too short":         s.made(version[:7], relays),
		"one byte too long": s.made(append(slices.Clone(version), 0), relays),
	} {
		if known {
			t.Errorf("%s: it passes for the list's version", name)
		}
	}
}

// No log and no careless print shows a seed.
func TestHostSeedIsNotShown(t *testing.T) {
	s := newHostSeed()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "seed", s, "of", struct{ Seed hostSeed }{s})
	printed := fmt.Sprintf("%v %+v %s %x %d %#v", s, s, s, s, s, s) + log.String()
	for _, text := range []string{s.Encode(), fmt.Sprintf("%x", s.Secret[:]), fmt.Sprint(s.Secret[:])} {
		if strings.Contains(printed, strings.Trim(text, "[]")) {
			t.Errorf("it is in %s", printed)
		}
	}

	if b, err := json.Marshal(s); err == nil {
		t.Errorf("it is in %s", b)
	}
}
