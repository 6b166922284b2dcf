// Package sessiontest is what the tests of session and its packages share: clocks that a test sets, and devices that
// are paired. Only tests import it.
package sessiontest

import (
	"time"

	"github.com/peephole-cam/peephole/clock"
)

// Clock returns this machine's clock; in a synctest bubble it is the bubble's.
func Clock() *clock.Clock {
	return clock.New(func() time.Duration { return time.Duration(time.Now().UnixNano()) }, time.Now)
}

// Ago returns the moment that was d ago.
func Ago(d time.Duration) clock.Moment {
	shift := d
	m := clock.New(
		func() time.Duration { return time.Duration(time.Now().Add(-shift).UnixNano()) },
		func() time.Time { return time.Now().Add(-shift) },
	).Now()
	shift = 0
	return m
}

// Machine holds the two clocks of a machine. A test sends it to sleep and sets its clocks.
type Machine struct{ Boot, Wall time.Duration }

// Clock returns the machine's clock.
func (m *Machine) Clock() *clock.Clock {
	return clock.New(
		func() time.Duration { return m.Boot },
		func() time.Time { return time.Unix(1e9, 0).Add(m.Wall) },
	)
}

// Run lets time pass.
func (m *Machine) Run(d time.Duration) { m.Boot, m.Wall = m.Boot+d, m.Wall+d }

// Interruptions are what can happen to a machine. No picture from before one is live after it.
var Interruptions = []struct {
	Name   string
	Happen func(*Machine)
}{
	{"the machine sleeps for an hour", func(m *Machine) { m.Run(time.Hour) }},
	{"it sleeps, and only its wall clock counts that", func(m *Machine) { m.Wall += time.Hour }},
	{"it sleeps, and its wall clock is set back by as long", func(m *Machine) { m.Boot += time.Hour }},
	{"its wall clock is set back", func(m *Machine) { m.Wall -= time.Hour }},
	{"its wall clock is set forward", func(m *Machine) { m.Wall += time.Minute }},
}
