package camera

import (
	"log/slog"

	"golang.org/x/time/rate"
)

const (
	// offersAtOnce and offersPerSecond bound how many envelopes of one viewer are opened: each costs operations with a
	// private key, and an offer costs lines in the log. Several tabs on a network that comes and goes need a fraction
	// of this.
	offersAtOnce    = 64
	offersPerSecond = 4
)

// TooOftenText is what the log says when a viewer exceeds its allowance.
const TooOftenText = "this viewer offers sessions faster than the camera takes them; the others were not looked at"

// allowance bounds how many envelopes of a viewer are opened. One goroutine uses it at a time.
type allowance struct {
	limiter *rate.Limiter
	refused int // since the start
	warning warning
}

func newAllowance() allowance {
	return allowance{limiter: rate.NewLimiter(offersPerSecond, offersAtOnce)}
}

// spend reports whether one more envelope may be opened, and warns if not.
func (a *allowance) spend(log *slog.Logger, viewer string) bool {
	if a.limiter.Allow() {
		return true
	}

	a.refused++
	if a.warning.due() {
		log.Warn(TooOftenText, "viewer", viewer, "refused", a.refused)
	}
	return false
}
