package expiry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
)

const day = 24 * time.Hour

// A machine that boots with an unset clock goes by the floor, whatever its clock shows.
func TestUnsetClockIsNotEarlierThanTheFloor(t *testing.T) {
	m := newMachine(t)
	confirm(t, m.open(t), noon)

	m.restart(time.Hour, 0)
	for _, shown := range []time.Time{{}, time.Unix(0, 0), made, noon.Add(-day - time.Millisecond)} {
		m.show(shown)
		c := m.open(t)
		if now := c.Now(); !now.Equal(noon.Add(-day)) || !c.Wrong() {
			t.Errorf("clock at %s: now %s, wrong %t; want the floor, %s", shown, now, c.Wrong(), noon.Add(-day))
		}
	}

	m.show(noon.Add(time.Hour))
	if c := m.open(t); !c.Now().Equal(noon.Add(time.Hour)) || c.Wrong() {
		t.Errorf("set again: %s, wrong %t", c.Now(), c.Wrong())
	}
}

// A device without a floor knows at least that it is younger than Peephole.
func TestClockBeforeTheFirstDeviceIsWrong(t *testing.T) {
	first := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	m := newMachine(t)
	c := m.open(t)
	for _, shown := range []time.Time{time.Unix(0, 0), first.Add(-1)} {
		m.show(shown)
		if !c.Now().Equal(first) || !c.Wrong() {
			t.Errorf("at %s: %s, wrong %t", shown, c.Now(), c.Wrong())
		}
		confirm(t, c, shown)
		if f := m.file(t); f != "" {
			t.Errorf("a clock at %s was kept: %s", shown, f)
		}
	}

	m.show(first)
	if !c.Now().Equal(first) || c.Wrong() {
		t.Errorf("at %s: %s, wrong %t", first, c.Now(), c.Wrong())
	}
	m.show(noon)
	if !c.Now().Equal(noon) || c.Wrong() {
		t.Errorf("set: %s, wrong %t", c.Now(), c.Wrong())
	}
}

// A first reading is kept only once it is confirmed: a new machine's clock may be years ahead.
func TestFirstReadingWantsConfirmation(t *testing.T) {
	m := newMachine(t)
	c := m.open(t)
	for range 30 {
		keep(t, c)
		m.pass(day)
	}

	if f := m.file(t); f != "" {
		t.Errorf("kept: %s", f)
	}
	confirm(t, c, m.now)
	if m.file(t) == "" {
		t.Error("a confirmed clock is not kept")
	}
}

// Another device never moves the floor: it confirms what the machine's own clock shows, or does nothing.
func TestOnlyTheOwnClockRaisesTheFloor(t *testing.T) {
	m := newMachine(t)
	c := m.open(t)
	confirm(t, c, noon)
	before := m.file(t)
	m.pass(30 * day)
	const late = 3 * time.Minute // as an offer may be

	for _, said := range []time.Time{{}, noon, m.now.Add(-late - 1), m.now.Add(late + 1), m.now.AddDate(100, 0, 0)} {
		confirm(t, c, said)
		if f := m.file(t); f != before {
			t.Errorf("after another device said %s, this is kept: %s", said, f)
		}
	}

	if !c.Agrees(m.now.Add(-late)) || !c.Agrees(m.now.Add(late)) {
		t.Error("two clocks that are as far apart as an offer may be late do not agree")
	}
	confirm(t, c, m.now.Add(late))
	m.show(time.Unix(0, 0))
	if now := c.Now(); !now.Equal(noon.Add(29 * day)) {
		t.Errorf("the floor is %s, not a day behind the machine's own clock", now)
	}
}

// A clock is believed without confirmation if it is at most a day ahead of what the machine has counted.
func TestLeapIsNotKept(t *testing.T) {
	for _, tt := range []struct {
		name     string
		happens  func(*machine)
		believed bool
	}{
		{"a day later", func(m *machine) { m.pass(day) }, true},
		{"a month later, asleep most of the time", func(m *machine) { m.pass(30 * day) }, true},
		{"set ahead by a day", func(m *machine) { m.pass(day); m.off = day }, true},
		{"set ahead by more", func(m *machine) { m.pass(day); m.off = day + time.Millisecond }, false},
		{"off for a day", func(m *machine) { m.restart(day, 0) }, true},
		{"off for longer", func(m *machine) { m.restart(day+time.Millisecond, 0) }, false},
		{"off for longer, and on for a year", func(m *machine) {
			m.restart(day+time.Millisecond, 0)
			m.pass(365 * day)
		}, false},
		{"years ahead after a start", func(m *machine) { m.restart(time.Minute, 20*365*day) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.pass(30 * day) // what it has counted by now must not count again
			confirm(t, m.open(t), m.now)
			before := m.file(t)

			tt.happens(m)
			c := m.open(t)
			keep(t, c)
			if believed := m.file(t) != before; believed != tt.believed {
				t.Errorf("believed %t, want %t: kept is %s", believed, tt.believed, m.file(t))
			}

			confirm(t, c, m.now.Add(m.off))
			if m.file(t) == before {
				t.Error("not believed although another device agrees")
			}
		})
	}
}

// A clock that is years ahead between two boots, because its battery-backed clock is wrong, leaves no trace.
func TestWrongClockOfOneStartLeavesNoTrace(t *testing.T) {
	m := newMachine(t)
	confirm(t, m.open(t), noon)
	m.restart(time.Hour, 20*365*day)
	c := m.open(t)
	for range 60 * 24 {
		m.pass(time.Hour)
		keep(t, c)
	}

	m.restart(time.Hour, 0)
	c = m.open(t)
	keep(t, c)
	if !c.Now().Equal(m.now) || c.Wrong() {
		t.Errorf("now is %s, wrong %t; want %s", c.Now(), c.Wrong(), m.now)
	}
}

// A clock that is set ahead again and again, within one boot or at every boot, gains one day altogether.
func TestLeapsDoNotAddUp(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		m := newMachine(t)
		c := m.open(t)
		confirm(t, c, noon)
		for range 100 {
			m.pass(time.Hour)
			m.off += 23 * time.Hour
			if restarts {
				m.restart(0, m.off)
				c = m.open(t)
			}
			keep(t, c)
		}

		m.show(time.Unix(0, 0))
		if floor := c.Now(); floor.After(m.now) {
			t.Errorf("restarts %t: the floor is %s, ahead of the true time %s", restarts, floor, m.now)
		}
	}
}

// An unconfirmed clock may be wrong by a day either way, and the floor still does not pass the true time.
func TestFloorIsNeverAheadOfTheTrueTime(t *testing.T) {
	for _, off := range []time.Duration{-day, -20 * time.Hour, -time.Minute, 0, time.Minute, 14 * time.Hour,
		day - time.Minute} {
		m := newMachine(t)
		confirm(t, m.open(t), noon)
		m.restart(time.Minute, off)
		c := m.open(t)
		for range 100 {
			m.pass(7 * time.Hour)
			keep(t, c)
			if c.floor().After(m.now) {
				t.Fatalf("off by %s: the floor is %s at %s", off, c.floor(), m.now)
			}
		}

		if c.floor().Before(m.now.Add(-4 * day)) {
			t.Errorf("off by %s: the floor stays behind at %s", off, c.floor())
		}
	}
}

func TestClockThatIsSetBackLowersNothing(t *testing.T) {
	m := newMachine(t)
	c := m.open(t)
	confirm(t, c, noon)
	before := m.file(t)
	m.pass(time.Hour)
	m.show(noon.AddDate(0, -3, 0))
	for range 10 {
		m.pass(time.Hour)
		keep(t, c)
		confirm(t, c, m.now.Add(m.off))
	}

	if m.file(t) != before || !c.Now().Equal(noon.Add(-day)) {
		t.Errorf("now %s, kept %s, before %s", c.Now(), m.file(t), before)
	}
}

// Flash wears out: a camera that keeps its clock every ten minutes writes once a day.
func TestOneWriteADay(t *testing.T) {
	m := newMachine(t)
	c := m.open(t)
	writes, last := 0, ""
	for range 30 * 24 * 6 {
		m.pass(10 * time.Minute)
		keep(t, c)
		confirm(t, c, m.now)
		if f := m.file(t); f != last {
			writes, last = writes+1, f
		}
	}

	if writes < 29 || writes > 31 {
		t.Errorf("%d writes in 30 days", writes)
	}
}

// A disk that cannot be written to costs only the floor after a restart, and gets what it missed later.
func TestDiskThatTakesNothing(t *testing.T) {
	m := newMachine(t)
	c := m.open(t)
	inTheWay := filepath.Join(m.dir, fileName, "x")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}

	if err := c.Confirm(noon); err == nil {
		t.Error("nothing could be written, and there is no error")
	}
	m.show(time.Unix(0, 0))
	if now := c.Now(); !now.Equal(noon.Add(-day)) {
		t.Errorf("the floor does not hold: %s", now)
	}

	entries, err := os.ReadDir(m.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v (%v)", entries, err)
	}

	if err := os.RemoveAll(filepath.Join(m.dir, fileName)); err != nil {
		t.Fatal(err)
	}
	keep(t, c)
	if m.file(t) == "" {
		t.Error("the disk can be written to again, and the time is not on it")
	}
}

// If the state folder is missing, as on a disk that is not mounted, the clock does not make it.
func TestStateThatIsGoneIsNotMadeAnew(t *testing.T) {
	m := newMachine(t)
	c := m.open(t)
	if err := os.RemoveAll(m.dir); err != nil {
		t.Fatal(err)
	}
	if err := c.Confirm(noon); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the time was kept: %v", err)
	}

	if _, err := os.Stat(m.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is there again: %v", err)
	}
}

// The machine keeps counting while it sleeps, and between two processes.
func TestBootClockCountsSleep(t *testing.T) {
	for name, boot := range map[string]func() Boot{"the machine": boot, "the process in its place": sinceStart} {
		first := boot()
		second := boot()
		if first.ID != second.ID || first.Up < 0 || second.Up < first.Up || second.Up > clock.SinceBoot() {
			t.Errorf("%s: %+v, then %+v", name, first, second)
		}

		r := reading{at: noon, boot: first.ID, began: noon, least: noon}
		if again, err := parse(string(r.encode())); err != nil || again.boot != first.ID {
			t.Errorf("%s: its boot %q is not read back: %v", name, first.ID, err)
		}
	}
}
