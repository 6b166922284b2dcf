package clock

import (
	"context"
	"time"
)

// timeoutStep is how often a timeout looks at how long this process has waited for a processor. SchedulingDelay
// remembers longer than that.
const timeoutStep = time.Second

// WithTimeout is context.WithTimeout, but time in which this process waits for a processor hardly counts: what the
// context's user waits for may lie there unread. Once the time is over, context.Cause returns DeadlineExceeded.
func WithTimeout(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	waiting, end := context.WithCancelCause(ctx)
	delay := &SchedulingDelay{}
	go delay.Run(waiting)
	go func() {
		for left := wait; left > 0; {
			step := min(left, timeoutStep)
			began := time.Now()
			select {
			case <-time.After(step):
			case <-waiting.Done():
				return
			}
			left -= counted(time.Since(began), delay.Since(began))
		}
		end(context.DeadlineExceeded)
	}()
	return waiting, func() { end(context.Canceled) }
}

// counted returns how much of a time counts that was partly spent waiting for a processor: at least a tenth, so that
// every wait ends.
func counted(passed, starved time.Duration) time.Duration { return max(passed-starved, passed/10) }
