// Package clock measures how long ago something happened, on a machine that may be suspended and whose clock may be
// set.
//
// Go's monotonic clock stops while the machine is suspended, on Linux and elsewhere, and a wall clock can be set.
// Either of them alone could make last night's picture look a second old in the morning. A Moment is therefore read
// from two clocks, one of which counts suspended time where the system has such a clock (boot_*.go), and its age is the
// longer of the two. If the two contradict each other, one was set or stopped, and nobody knows for how long: the
// Moment is then older than anything.
//
// The package measures ages only. It does not tell the time, or whether something has expired.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package clock

import (
	"math"
	"time"
)

const (
	// Forever is an age that cannot be told.
	Forever = time.Duration(math.MaxInt64)

	// slack is how much the two clocks may differ about one age. A leap second, or a time server's correction, is no
	// contradiction.
	slack = time.Second
)

// Clock is a pair of clocks. A nil *Clock is this machine's.
type Clock struct {
	boot func() time.Duration
	wall func() time.Time
}

// machine is what a nil *Clock reads.
var machine = New(sinceBoot, time.Now)

// New returns a Clock that reads boot, which should not stop while the machine is suspended, and wall, which may be
// set. Only tests need clocks other than the machine's.
func New(boot func() time.Duration, wall func() time.Time) *Clock { return &Clock{boot, wall} }

// Now reads both clocks.
func (c *Clock) Now() Moment {
	if c == nil {
		c = machine
	}
	return Moment{of: c, boot: c.boot(), wall: c.wall().Round(0)}
}

// Now reads this machine's clocks.
func Now() Moment { return machine.Now() }

// SinceBoot reads the first of this machine's two clocks. It counts suspended time where the system has such a clock,
// and nobody can set it.
func SinceBoot() time.Duration { return sinceBoot() }

// Moment is when something happened. The zero Moment is before everything.
type Moment struct {
	of   *Clock // the clock that read it
	boot time.Duration
	wall time.Time // without a reading of Go's monotonic clock
}

// Age returns how long ago m was, by the clock that says longer; it is Forever if the two clocks contradict each other.
//
// If the process is stopped between the two readings, the Moment becomes older or contradictory, never younger.
func (m Moment) Age() time.Duration {
	if m.of == nil {
		return Forever
	}

	now := m.of.Now()
	boot, wall := now.boot-m.boot, now.wall.Sub(m.wall)
	if boot < 0 || wall < boot-slack || wall > boot+slack {
		return Forever
	}

	return max(boot, wall)
}

// Sub returns the time from n to m, by the first of the two clocks.
func (m Moment) Sub(n Moment) time.Duration { return m.boot - n.boot }

// IsZero reports whether m is the zero Moment.
func (m Moment) IsZero() bool { return m.of == nil }

// Time returns m by the wall clock: for people to read, not to measure with.
func (m Moment) Time() time.Time { return m.wall }
