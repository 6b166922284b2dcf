package turn

import "time"

// backoff waits longer and longer, from 5 ms to 1 s, between attempts that may succeed later, such as accepting a
// connection when no descriptor is left.
type backoff time.Duration

// after waits and returns true, or returns false as soon as stop is closed.
func (b *backoff) after(stop <-chan struct{}) bool {
	*b = min(max(2*(*b), backoff(5*time.Millisecond)), backoff(time.Second))
	timer := time.NewTimer(time.Duration(*b))
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}
