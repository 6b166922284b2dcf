package session

import "time"

// minLost is the shortest time without a processor that a time limit makes up for.
const minLost = 250 * time.Millisecond

// timeLimit bounds how long this end waits for the other. Time that this process spends waiting for a processor does
// not count, because a message of the other end may lie here unread meanwhile.
type timeLimit struct {
	timer   *time.Timer
	since   time.Time
	starved func(since time.Time) time.Duration // how long this process has waited for a processor since then
}

func newTimeLimit(wait time.Duration, starved func(since time.Time) time.Duration) *timeLimit {
	return &timeLimit{timer: time.NewTimer(wait), since: time.Now(), starved: starved}
}

// fired returns a channel that receives when the time is over. If there is no limit, it never receives.
func (d *timeLimit) fired() <-chan time.Time {
	if d == nil {
		return nil
	}
	return d.timer.C
}

// stop ends the wait, if there is one.
func (d *timeLimit) stop() {
	if d != nil {
		d.timer.Stop()
	}
}

// passed reports whether the other end had all of the time. It must be called once the timer has fired. If the other
// end did not, passed extends the wait by what was missing.
func (d *timeLimit) passed() bool {
	lost := d.starved(d.since)
	if lost < minLost {
		return true
	}
	d.timer.Reset(lost)
	d.since = time.Now()
	return false
}
