package expiry

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// machine is a machine whose clock and power the test controls.
type machine struct {
	now  time.Time     // the true time
	off  time.Duration // how far its clock is ahead of it
	boot int
	up   time.Duration
	dir  string
}

// noon is a time long after Peephole was made.
var noon = time.Date(2027, 3, 14, 12, 0, 0, 0, time.UTC)

func newMachine(t *testing.T) *machine { return &machine{now: noon, dir: t.TempDir()} }

func (m *machine) source() Source {
	return Source{
		Wall: func() time.Time { return m.now.Add(m.off) },
		Boot: func() Boot { return Boot{"b" + strconv.Itoa(m.boot), m.up} },
	}
}

// open starts a process on the machine.
func (m *machine) open(t *testing.T) *Clock {
	t.Helper()
	c, err := Open(m.dir, m.source())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pass lets time pass while the machine runs.
func (m *machine) pass(d time.Duration) { m.now, m.up = m.now.Add(d), m.up+d }

// restart switches the machine off for a while. Afterwards its clock is ahead of the true time by off.
func (m *machine) restart(after, off time.Duration) {
	m.now, m.off, m.boot, m.up = m.now.Add(after), off, m.boot+1, 0
}

// show sets the machine's clock.
func (m *machine) show(at time.Time) { m.off = at.Sub(m.now) }

func (m *machine) file(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(m.dir, fileName))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// keep and confirm fail the test on an error.
func keep(t *testing.T, c *Clock) {
	t.Helper()
	if err := c.Keep(); err != nil {
		t.Fatal(err)
	}
}

func confirm(t *testing.T, c *Clock, said time.Time) {
	t.Helper()
	if err := c.Confirm(said); err != nil {
		t.Fatal(err)
	}
}
