package clock

import (
	"context"
	"sync"
	"time"
)

const (
	// wakeEvery is how often the scheduling delay is sampled: as often as packets wait for something.
	wakeEvery = 10 * time.Millisecond
	// samplesKept samples go back at least five seconds. Everything older counts as on time.
	samplesKept = 512
)

// SchedulingDelay measures how long this process waits for a processor when it has something to do. On a busy machine
// timers fire late, and behind a slow network they fire on time, so this tells the two apart. A sleep of the machine is
// no delay: the monotonic clock stops meanwhile.
type SchedulingDelay struct {
	mu      sync.Mutex
	due     time.Time                // guarded by mu; when the timer is to fire; zero if it has
	total   time.Duration            // guarded by mu; all delays so far
	samples [samplesKept]samplePoint // guarded by mu; a ring
	next    int                      // guarded by mu; where the next sample goes
}

// samplePoint is the sum of all delays at one time.
type samplePoint struct {
	at    time.Time
	total time.Duration
}

// Run samples until ctx ends.
func (d *SchedulingDelay) Run(ctx context.Context) {
	timer := time.NewTimer(wakeEvery)
	defer timer.Stop()
	d.expect(time.Now().Add(wakeEvery))
	for {
		select {
		case <-timer.C:
			now := time.Now()
			d.woke(now)
			timer.Reset(wakeEvery)
			d.expect(now.Add(wakeEvery))
		case <-ctx.Done():
			return
		}
	}
}

func (d *SchedulingDelay) expect(due time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due = due
}

func (d *SchedulingDelay) woke(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total += max(0, now.Sub(d.due))
	d.due = time.Time{}
	d.samples[d.next%samplesKept] = samplePoint{now, d.total}
	d.next++
}

// Since returns how much of the time since then this process has waited for a processor.
func (d *SchedulingDelay) Since(then time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, late := time.Now(), time.Duration(0)
	if !d.due.IsZero() {
		late = max(0, now.Sub(d.due)) // of a timer that has not fired yet
	}

	before := time.Duration(0)
	for i := d.next - 1; i >= max(0, d.next-samplesKept); i-- {
		sample := d.samples[i%samplesKept]
		if before = sample.total; !sample.at.After(then) {
			break
		}
		if i == 0 {
			before = 0
		}
	}

	return min(d.total+late-before, now.Sub(then))
}
