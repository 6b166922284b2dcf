package camera

import (
	"log/slog"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/session"
)

// RejectedText is what the person beside a camera is told.
const RejectedText = "the relay delivered something that is not from a viewer of this camera; it was not used. If this goes on, tell the relay's operator, or use another relay"

// alarmEvery is how often the log says so at most: a relay that misroutes does it all the time.
const alarmEvery = time.Minute

// alarm counts what arrived from no viewer of this camera, and tells of it: at once the first time, then once a minute at most.
type alarm struct {
	log  *slog.Logger
	hook func(session.Rejection) // may be nil

	mu    sync.Mutex
	count int64     // guarded by mu
	told  time.Time // guarded by mu
}

// add counts without a line, for what the person is told of by itself.
func (a *alarm) add(r session.Rejection) (count int64) {
	a.mu.Lock()
	a.count++
	count = a.count
	a.mu.Unlock()
	if a.hook != nil {
		a.hook(r)
	}
	return count
}

// reject counts r and tells of it.
func (a *alarm) reject(r session.Rejection) {
	count, now := a.add(r), time.Now()
	a.mu.Lock()
	due := a.told.IsZero() || now.Sub(a.told) >= alarmEvery
	if due {
		a.told = now
	}
	a.mu.Unlock()
	if due {
		a.log.Warn(RejectedText, "what", r.What, "rejected", count)
	}
}

func (a *alarm) rejected() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}
