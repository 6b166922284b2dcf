package clock

import (
	"testing"
	"time"
)

// fake is a pair of clocks that a test sets.
type fake struct {
	boot time.Duration
	wall time.Time
}

func (f *fake) clock() *Clock {
	return New(func() time.Duration { return f.boot }, func() time.Time { return f.wall })
}

func TestAgeIsTheLongerOfTwoClocks(t *testing.T) {
	for _, tt := range []struct {
		name             string
		boot, wall, want time.Duration // counted since
	}{
		{"at once", 0, 0, 0},
		{"both count alike", time.Minute, time.Minute, time.Minute},
		{"an hour's sleep, counted by both", time.Hour, time.Hour, time.Hour},
		{"the boot clock counts more", 2 * time.Second, 1500 * time.Millisecond, 2 * time.Second},
		{"the wall clock counts more", 2 * time.Second, 2500 * time.Millisecond, 2500 * time.Millisecond},
		{"a leap second", 500 * time.Millisecond, -500 * time.Millisecond, 500 * time.Millisecond},
		{"an hour's sleep, counted by the wall clock alone", time.Second, time.Hour, Forever},
		{"the wall clock was set back by an hour", time.Second, time.Second - time.Hour, Forever},
		{"the wall clock was set back while both counted an hour's sleep", time.Hour, time.Second, Forever},
		{"the boot clock went back, which none does", -time.Nanosecond, 0, Forever},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{time.Hour, time.Unix(1e9, 0)}
			m := f.clock().Now()
			f.boot += tt.boot
			f.wall = f.wall.Add(tt.wall)
			if got := m.Age(); got != tt.want {
				t.Errorf("%v old, want %v", got, tt.want)
			}
		})
	}
}

func TestZeroMomentIsOlderThanAnything(t *testing.T) {
	var never Moment
	if now := Now(); never.Age() != Forever || !never.IsZero() || now.IsZero() || !never.Time().IsZero() {
		t.Errorf("zero: %v old; now: %+v", never.Age(), now)
	}
}

func TestMomentIsReadFromTheMachine(t *testing.T) {
	before := time.Now()
	var machines *Clock
	m := machines.Now()
	between, n := time.Now(), Now()
	if at := m.Time(); at.Before(before.Round(0)) || at.After(between.Round(0)) {
		t.Errorf("read at %v, want between %v and %v", at, before, between)
	}

	// Windows counts in steps
	if since, longer := n.Sub(m), time.Since(before); since < 0 || since > longer+20*time.Millisecond {
		t.Errorf("%v between two moments, of %v", since, longer)
	}
	if a, longer := m.Age(), time.Since(before); a < 0 || a > longer+20*time.Millisecond {
		t.Errorf("%v old, want at most %v", a, longer)
	}
}

func BenchmarkAge(b *testing.B) {
	m := Now()
	b.ReportAllocs()
	for b.Loop() {
		_ = m.Age()
	}
}
