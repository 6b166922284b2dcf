package camera

import (
	"sync"
	"time"
)

// warnEvery bounds how often a warning of one kind is logged: whatever causes it may happen all the time.
const warnEvery = time.Minute

// warning limits a line of the log that others can cause as often as they like. It is due at once the first time, and
// then once a minute at most.
type warning struct {
	mu   sync.Mutex
	last time.Time // guarded by mu; when it was due
}

func (w *warning) due() bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.last.IsZero() && now.Sub(w.last) < warnEvery {
		return false
	}

	w.last = now
	return true
}
