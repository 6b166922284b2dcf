package camera

import (
	"log/slog"
	"sync/atomic"
)

// RejectedText is what the log says about a message that is not from a viewer of the camera.
const RejectedText = "the relay delivered something that is not from a viewer of this camera; it was not used. If " +
	"this goes on, tell the relay's operator, or use another relay"

// alarm counts and reports messages that are not from a viewer of this camera.
type alarm struct {
	log     *slog.Logger
	hook    func(Rejection)
	total   atomic.Int64
	warning warning
}

// count counts r without a line in the log: the person hears of it anyway.
func (a *alarm) count(r Rejection) (total int64) {
	total = a.total.Add(1)
	a.hook(r)
	return total
}

// raise counts r and warns.
func (a *alarm) raise(r Rejection) {
	total := a.count(r)
	if a.warning.due() {
		a.log.Warn(RejectedText, "what", r.What, "rejected", total)
	}
}

func (a *alarm) rejected() int64 { return a.total.Load() }
