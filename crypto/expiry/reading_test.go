package expiry

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestClockFile(t *testing.T) {
	const good = "peephole-clock-1 2027-03-14T12:00:00.000Z b0 2027-03-14T11:00:00.000Z 2027-03-14T12:00:00.000Z\n"
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"as written":          {good, nil},
		"empty":               {"", ErrFile},
		"cut short":           {good[:len(good)-1], ErrFile},
		"more behind it":      {good + "\n", ErrFile},
		"two spaces":          {strings.Replace(good, " b0", "  b0", 1), ErrFile},
		"another time zone":   {strings.Replace(good, "12:00:00.000Z", "12:00:00.000+01:00", 1), ErrFile},
		"no milliseconds":     {strings.ReplaceAll(good, ".000Z", "Z"), ErrFile},
		"a boot of nonsense":  {strings.Replace(good, "b0", "../x", 1), ErrFile},
		"the longest boot":    {strings.Replace(good, "b0", strings.Repeat("a", 64), 1), nil},
		"a fifth word":        {strings.Replace(good, " b0", " b0 b0", 1), ErrFile},
		"three words":         {strings.Replace(good, " b0", "", 1), ErrFile},
		"no word":             {"peephole-clock-1 \n", ErrFile},
		"a boot that is long": {strings.Replace(good, "b0", strings.Repeat("a", 65), 1), ErrFile},
		"before Peephole":     {strings.Replace(good, "2027-03-14T12", "2020-03-14T12", 1), ErrFile},
		"version 0":           {strings.Replace(good, "-1 ", "-0 ", 1), ErrFile},
		"version 1g":          {strings.Replace(good, "-1 ", "-1g ", 1), ErrFile},
		"version 2":           {strings.Replace(good, "-1 ", "-2 ", 1), ErrNewer},
		"version 2, of more":  {"peephole-clock-2 x\n", ErrNewer},
		"another file":        {"peephole-identity-1 x\n", ErrFile},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if err := os.WriteFile(filepath.Join(m.dir, fileName), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := Open(m.dir, m.source())
			if !errors.Is(err, tt.want) || (c == nil) != (tt.want == ErrNewer) {
				t.Fatalf("%v, %v; want %v", c, err, tt.want)
			}

			if tt.want == ErrFile { // it starts anew
				confirm(t, c, m.now)
				if !strings.HasPrefix(m.file(t), good[:len("peephole-clock-1 2027")]) {
					t.Errorf("the damaged file stays: %q", m.file(t))
				}
			}
		})
	}
}

// A file that the disk does not give is not called damaged, and holds nobody up.
func TestUnreadableFileIsNotADamagedOne(t *testing.T) {
	m := newMachine(t)
	if err := os.Mkdir(filepath.Join(m.dir, fileName), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := Open(m.dir, m.source())
	if c == nil || err == nil || errors.Is(err, ErrFile) {
		t.Fatalf("%v, %v; want a clock, and the disk's own error", c, err)
	}
	if !c.Now().Equal(noon) {
		t.Errorf("now is %s, want %s", c.Now(), noon)
	}
}

// An old program that still runs does not overwrite a newer one's file.
func TestNewerFileIsLeftAlone(t *testing.T) {
	m := newMachine(t)
	c := m.open(t)
	const newer = "peephole-clock-2 x\n"
	if err := os.WriteFile(filepath.Join(m.dir, fileName), []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}

	if err := c.Confirm(noon); !errors.Is(err, ErrNewer) || m.file(t) != newer {
		t.Errorf("%v; the file is now %q", err, m.file(t))
	}
}

// Several processes, as when a viewer is started twice, leave the latest of their readings, and leave it whole.
func TestProcessesShareTheFile(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	latest := noon.Add(40 * 10 * day)
	for process := range 4 {
		all.Go(func() {
			m := &machine{now: noon.Add(time.Duration(process) * time.Minute), dir: dir}
			for range 40 {
				m.pass(10 * day)
				c, err := Open(dir, m.source())
				if err != nil {
					t.Errorf("a torn file: %v", err)
					return
				}

				if err := c.Confirm(m.now); err != nil {
					t.Error(err)
				}
			}
		})
	}

	all.Wait()
	kept, err := readFile(filepath.Join(dir, fileName))
	if err != nil || kept.at.Before(latest.Add(-10*day)) {
		t.Errorf("kept is %s (%v), want about %s", kept.at, err, latest)
	}
}

// An older reading does not replace a later one.
func TestOlderReadingDoesNotReplaceALater(t *testing.T) {
	m := newMachine(t)
	early := m.open(t)
	late := m.open(t)
	m.pass(10 * day)
	confirm(t, late, m.now)
	before := m.file(t)

	m.show(noon.Add(2 * day))
	confirm(t, early, noon.Add(2*day))
	if m.file(t) != before {
		t.Errorf("kept was %s, and is %s", before, m.file(t))
	}

	if m.show(time.Unix(0, 0)); !early.Now().Equal(noon.Add(9 * day)) {
		t.Errorf("the clock that found a later reading does not use it: %s", early.Now())
	}
}

// FuzzClockFile: a reading has one spelling, and does not precede Peephole.
func FuzzClockFile(f *testing.F) {
	f.Add(string(reading{noon, "b0", noon, noon}.encode()))
	f.Add("peephole-clock-1 ")
	f.Add("peephole-clock-2 x")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parse(text)
		if err == nil && (string(r.encode()) != text || r.floor().Before(made)) {
			t.Errorf("%q is read as %+v", text, r)
		}
		if err != nil && r != (reading{}) {
			t.Errorf("%q is refused, and a reading is returned", text)
		}
	})
}
