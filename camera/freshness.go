package camera

import (
	"github.com/peephole-cam/peephole/session"
)

// ClockText is what the log says when the date of an offer proves nothing.
const ClockText = "a viewer's offer is dated otherwise than this camera's clock shows: set the clock that is " +
	"wrong, unless the relay held the offer back"

// doubtFreshness returns nil for an offer that was certainly made just now. Any other may be an old one that somebody
// has kept, and is refused. An offer proves that it is new by its date, or by repeating the nonce of an earlier
// refusal.
func (v *viewer) doubtFreshness(o offer, nonce []byte) *session.Refusal {
	clock := v.camera.clock
	answers := v.questions.answered(nonce)
	if o.dated {
		v.camera.reportClock(clock.Confirm(o.sent))
		return nil
	}

	shown := clock.Shown().UTC()
	if v.clockWarning.due() {
		v.camera.cfg.Logger.Warn(ClockText,
			"viewer", v.name(), "dated", o.sent.UTC(), "clock", shown, "wrong", clock.Wrong())
	}

	if answers {
		return nil
	}

	shows := shown.Format("2 January 2006, 15:04") + " UTC."
	text := "This camera's clock shows " + shows + " Set the clock that is wrong: the camera's, or yours."
	if clock.Wrong() {
		text = "This camera's clock is wrong: it shows " + shows + " Set it."
	}

	return &session.Refusal{Code: session.ClockRefusal, Text: text, Nonce: v.questions.ask()}
}
