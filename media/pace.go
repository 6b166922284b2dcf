package media

import (
	"context"
	"time"
)

// pace is a clock that ticks at a frame rate. It does not drift, and it does not catch up after a delay of more than a
// second.
type pace struct {
	interval float64 // seconds
	start    time.Time
	frame    int
	shift    time.Duration // the delays that were not caught up, in total
	timer    *time.Timer
}

func newPace(rate float64) *pace {
	return &pace{interval: 1 / rate, start: time.Now(), timer: time.NewTimer(0)}
}

// next waits for the time of the next frame and returns it, counted from the first frame.
func (p *pace) next(ctx context.Context) (time.Duration, error) {
	pts := time.Duration(float64(p.frame)*p.interval*float64(time.Second)) + p.shift
	p.frame++
	wait := time.Until(p.start.Add(pts))
	if wait < -time.Second {
		p.shift -= wait
		pts -= wait
	}

	p.timer.Reset(wait)
	select {
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-p.timer.C:
		return pts, nil
	}
}

func (p *pace) stop() { p.timer.Stop() }
