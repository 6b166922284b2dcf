package expiry

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
)

const (
	// behind is how far the floor stays behind the reading that raised it: as far as an unconfirmed clock may be ahead.
	behind = leap
	// leap is how far the machine's clock may be ahead of what the machine has counted and still be believed without
	// confirmation.
	leap = 24 * time.Hour
	// keepEvery is how often a reading is written to disk at most: flash wears out.
	keepEvery = 24 * time.Hour
	// agreement is how far two clocks may differ and still agree: as far as an offer may be late.
	agreement = 3 * time.Minute
)

// made precedes every device of this protocol: a clock that shows an earlier time was never set.
var made = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Source is where the time comes from. The zero value is the machine.
type Source struct {
	Wall func() time.Time // nil: time.Now
	Boot func() Boot      // nil: the machine's
}

// Boot is how long a machine has been up, and since which start.
type Boot struct {
	ID string        // identifies this start: 1 to 64 lower-case hexadecimal digits and dashes
	Up time.Duration // since then, asleep or awake; setting a clock does not change it
}

// Clock is a device's clock. It is safe for concurrent use, and several processes may use one file.
type Clock struct {
	path   string
	source Source

	mu   sync.Mutex
	kept reading // guarded by mu; zero: none
	due  bool    // guarded by mu; kept is not on disk yet

	writing sync.Mutex // held while the file is written; a slow disk must not stop Now
}

// Open returns the clock of a device that keeps its floor in dir. If the file cannot be read, or is damaged
// ([ErrFile]), Open returns a usable Clock without a floor beside the error. For a file of a newer version it returns
// [ErrNewer] and a nil Clock.
func Open(dir string, source Source) (*Clock, error) {
	if source.Wall == nil {
		source.Wall = time.Now
	}
	if source.Boot == nil {
		source.Boot = boot
	}

	c := &Clock{path: filepath.Join(dir, fileName), source: source}

	var err error
	c.kept, err = readFile(c.path)
	if errors.Is(err, ErrNewer) {
		return nil, err
	}
	return c, err
}

// Now returns the machine's time or the floor, whichever is later.
func (c *Clock) Now() time.Time {
	now, floor := c.Shown(), c.floor()
	if now.Before(floor) {
		return floor
	}
	return now
}

// Agrees reports whether the machine's clock may be right and shows about the time that another device said.
func (c *Clock) Agrees(said time.Time) bool {
	now := c.Shown()
	return now.Sub(said).Abs() <= agreement && !now.Before(c.floor())
}

// Wrong reports whether the machine's clock is behind the floor: it was never set, it was set back by more than a day,
// or the floor itself is wrong.
func (c *Clock) Wrong() bool { return c.Shown().Before(c.floor()) }

func (c *Clock) floor() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.floor()
}

// Shown returns what the machine's clock shows, right or wrong, without a monotonic reading: that would stop while the
// machine sleeps.
func (c *Clock) Shown() time.Time { return c.source.Wall().Round(0) }

// Keep raises the floor if that is due and the clock is credible without confirmation, and writes what is not on disk
// yet. After an error the floor still holds until the process ends.
func (c *Clock) Keep() error {
	now, up := c.look()
	c.mu.Lock()
	now.began = c.kept.start(now.boot)
	if now.least = now.began.Add(up); !now.at.After(now.least.Add(leap)) {
		c.raise(now)
	}
	c.mu.Unlock()

	return c.write()
}

// Confirm compares the clock with the time that another device of a pair has just sealed. If they agree, the machine's
// clock is believed, however far it is ahead of what was kept. Errors are those of Keep.
func (c *Clock) Confirm(said time.Time) error {
	now, up := c.look()
	if c.Agrees(said) {
		now.began, now.least = now.at.Add(-up), now.at
		c.mu.Lock()
		c.raise(now)
		c.mu.Unlock()
	}

	return c.write()
}

// look reads the machine's clock and how long the machine has been up.
func (c *Clock) look() (now reading, up time.Duration) {
	b := c.source.Boot()
	return reading{at: c.Shown(), boot: b.ID}, b.Up
}

// raise raises the floor by a credible reading. c.mu must be held.
func (c *Clock) raise(now reading) {
	if !now.at.Before(c.kept.at.Add(keepEvery)) && !now.at.Before(made) {
		c.kept, c.due = now, true
	}
}

// write writes what is kept to disk, unless another process has written something later.
func (c *Clock) write() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	kept, due := c.kept, c.due
	c.mu.Unlock()
	if !due {
		return nil
	}

	written, err := exclusively(filepath.Dir(c.path), func() error {
		there, err := readFile(c.path)
		switch {
		case errors.Is(err, ErrNewer):
			return err
		case err == nil && !there.at.Before(kept.at):
			kept = there
			return nil
		}

		return identity.WriteFile(c.path, kept.encode())
	})
	if err != nil {
		return fmt.Errorf("write clock file: %w", err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if written && !kept.at.Before(c.kept.at) {
		c.kept, c.due = kept, false
	}

	return nil
}
