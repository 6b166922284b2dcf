package e2e

import (
	"sync"
	"time"
)

// lateness measures how late timers have fired so far in this process: what a busy machine adds to how long things
// take. It must not make anything fail that has a limit.
var lateness = func() *lateTimers {
	l := &lateTimers{}
	go l.run()
	return l
}()

type lateTimers struct {
	mu    sync.Mutex
	due   time.Time     // guarded by mu
	total time.Duration // guarded by mu
}

func (l *lateTimers) run() {
	const every = 10 * time.Millisecond
	for {
		l.mu.Lock()
		l.due = time.Now().Add(every)
		l.mu.Unlock()
		time.Sleep(every)
		l.mu.Lock()
		l.total += time.Since(l.due)
		l.mu.Unlock()
	}
}

// sum returns the total up to now.
func (l *lateTimers) sum() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total + max(0, time.Since(l.due))
}

// A stopwatch measures how long something would take on an idle machine.
type stopwatch struct {
	began time.Time
	late  time.Duration // before the start
}

func startStopwatch() stopwatch { return stopwatch{time.Now(), lateness.sum()} }

// took returns the time since the start, without the lateness since then.
func (s stopwatch) took() time.Duration { return time.Since(s.began) - s.lost() }

// lost returns the lateness since the start.
func (s stopwatch) lost() time.Duration { return lateness.sum() - s.late }
