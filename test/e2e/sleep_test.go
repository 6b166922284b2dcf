package e2e

import (
	"context"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

// machine has two clocks of its own; a test can put it to sleep and set them.
type machine struct {
	start time.Time

	mu         sync.Mutex
	boot, wall time.Duration // how far ahead of this machine's; guarded by mu
}

func newMachine() *machine { return &machine{start: time.Now()} }

func (m *machine) clock() *clock.Clock {
	return clock.New(func() time.Duration {
		m.mu.Lock()
		defer m.mu.Unlock()
		return time.Since(m.start) + m.boot
	}, func() time.Time {
		m.mu.Lock()
		defer m.mu.Unlock()
		return time.Now().Add(m.wall)
	})
}

// jump is what happens to both clocks while a machine sleeps, or when its clock is set.
type jump struct {
	name       string
	boot, wall time.Duration
}

var jumps = []jump{
	{"sleeps for an hour", time.Hour, time.Hour},
	{"sleeps, and only its wall clock counts that", 0, time.Hour},
	{"sleeps, and meanwhile its wall clock is set back by as long", time.Hour, 0},
	{"has its wall clock set back", 0, -time.Hour},
}

func (m *machine) jump(j jump) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot, m.wall = m.boot+j.boot, m.wall+j.wall
}

// lens is a Source whose access units carry their number as a mark, captured by a machine's clocks. While it is
// covered, there are none.
type lens struct {
	machine *machine

	mu      sync.Mutex
	covered bool // guarded by mu
	last    int  // the number of the last picture; guarded by mu
}

// Run implements media.Source.
func (l *lens) Run(ctx context.Context, sink func(media.AccessUnit)) error {
	clips, err := media.Clips()
	if err != nil {
		return err
	}
	return clips[0].Source("").Run(ctx, func(unit media.AccessUnit) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.covered {
			return
		}
		l.last++
		unit.Data, unit.Captured = media.InsertSEI(unit.Data, media.MarkSEI(strconv.Itoa(l.last))),
			l.machine.clock().Now()
		sink(unit)
	})
}

// cover covers or uncovers the lens, and returns the number of the last picture before that.
func (l *lens) cover(covered bool) (last int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.covered = covered
	return l.last
}

// number returns the number of the last picture.
func (l *lens) number() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// numberOf reads a picture's mark.
func numberOf(t testing.TB, f session.Frame) int {
	t.Helper()
	marks := media.Marks(f.AccessUnit)
	if len(marks) != 1 {
		t.Errorf("a picture has the marks %q", marks)
		return 0
	}

	n, err := strconv.Atoi(marks[0])
	if err != nil {
		t.Error(err)
	}
	return n
}

// eyes records which pictures one person saw, by their marks.
type eyes struct {
	t testing.TB

	mu          sync.Mutex
	live, shown int // the newest of those called live, and of all; guarded by mu
	// reports whether a picture is older than an event; nil: there was none; guarded by mu
	before func(session.Frame) bool
	wrong  int // older pictures that were called live; guarded by mu
}

func (e *eyes) frame(f session.Frame) {
	number := numberOf(e.t, f)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shown = max(e.shown, number)
	if !f.Live() {
		return
	}

	e.live = max(e.live, number)
	if e.before != nil && e.before(f) {
		e.wrong++
	}
}

// after lets something happen between two pictures. From then on, pictures from before must not be called live.
func (e *eyes) after(happens func(), before func(session.Frame) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	happens()
	e.before = before
}

// has waits until a certain picture, or a later one, was shown, or called live.
func (e *eyes) has(number *int, at int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return *number >= at
}

func (e *eyes) calledLive() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wrong
}

// A camera that slept, or whose clock was set, sends no picture from before as live: not through signaling, not to
// somebody who watches, not to somebody who comes later.
func TestSleepingCameraSendsNothingLiveOfBefore(t *testing.T) {
	t.Parallel()
	for _, j := range jumps {
		t.Run(j.name, func(t *testing.T) {
			r := startRelay(t)
			m := newMachine()
			l := &lens{machine: m}
			h := runCameraOf(t, nil, r.URLs()[0], "front door", l, filepath.Join(t.TempDir(), "front door"))
			v := pair(t, h)
			one, other := &eyes{t: t}, &eyes{t: t}
			run(t, func(ctx context.Context) error {
				return v.Watch(ctx, "front door", viewer.Watch{OnFrame: one.frame})
			})
			eventually(t, "live pictures", func() bool { return one.has(&one.live, 20) })

			last := l.cover(true)
			eventually(t, "the last picture", func() bool { return one.has(&one.shown, last) })
			before := func(f session.Frame) bool { return numberOf(t, f) <= last }
			one.after(func() { m.jump(j) }, before)
			other.after(func() {}, before)

			w := newViewer(t)
			pairWith(t, w, h)
			run(t, func(ctx context.Context) error {
				return w.Watch(ctx, "front door", viewer.Watch{OnFrame: other.frame})
			})
			still, err := w.Still(t.Context(), "front door", nil)
			if err == nil {
				t.Errorf("a still of number %d, live %t: there is none of now", numberOf(t, still), still.Live())
			}

			l.cover(false)
			eventually(t, "live pictures", func() bool {
				return one.has(&one.live, last+20) && other.has(&other.live, last+20)
			})
			if still, err = w.Still(t.Context(), "front door", nil); err != nil || numberOf(t, still) <= last ||
				!still.Live() {
				t.Errorf("a still of after it: live %t, %v", still.Live(), err)
			}

			if n := one.calledLive() + other.calledLive(); n != 0 {
				t.Errorf("%d pictures of before were called live", n)
			}
		})
	}
}

// A viewer that slept, or whose clock was set, calls nothing live that was held back for it meanwhile.
func TestSleepingViewerCallsNothingLiveOfBefore(t *testing.T) {
	t.Parallel()
	for _, j := range jumps {
		t.Run(j.name, func(t *testing.T) {
			c := startCloud(t, remembering)
			front := startTURNFront(t, c)
			sent := countFrames(front)
			l := &lens{machine: newMachine()}
			h := runCameraOf(t, nil, c.URLs()[0], "front door", l, filepath.Join(t.TempDir(), "front door"))
			m, state := newMachine(), t.TempDir()
			opened, err := viewer.Open(viewer.Config{State: state, Logger: logger(t), Ages: m.clock()})
			if err != nil {
				t.Fatal(err)
			}

			v := watcher{opened, state}
			pairWith(t, v, h)
			one := &eyes{t: t}
			run(t, func(ctx context.Context) error {
				return v.Watch(ctx, "front door", viewer.Watch{RelayOnly: true, OnFrame: one.frame})
			})
			eventually(t, "live pictures", func() bool { return one.has(&one.live, 20) })

			// Pictures travel for half a second, so that some are under way when the clocks jump.
			front.hold(t, func(time.Time) time.Duration { return 500 * time.Millisecond })
			now := l.number() + 15
			eventually(t, "pictures that were held back", func() bool { return one.has(&one.live, now) })
			sealed := uint64(sent.count()) // in the only session
			one.after(func() { m.jump(j) }, func(f session.Frame) bool { return !f.Still && f.CTR < sealed })
			now = l.number() + 20
			eventually(t, "live pictures of after it", func() bool { return one.has(&one.live, now) })
			if n := one.calledLive(); n != 0 {
				t.Errorf("%d pictures of before were called live", n)
			}
		})
	}
}
