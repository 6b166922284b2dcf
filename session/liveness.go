package session

import (
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/session/handshake"
)

func (v *Viewer) sendChallenge() {
	if v.records == nil || v.peer.data.ReadyState() != webrtc.DataChannelStateOpen {
		return
	}
	c := v.fresh.Issue()
	if err := v.sendData(handshake.Message{Type: "challenge", Challenge: c[:], Busy: v.busy()}); err != nil {
		v.cfg.Logger.Debug("send challenge", "err", err)
	}
}

// busy returns how much of the time since its last call this end has waited for a processor, in percent.
func (v *Viewer) busy() (percent int) {
	now := time.Now()
	if v.asked.IsZero() {
		v.asked = now.Add(-handshake.ChallengeEvery)
	}
	percent = int(100 * v.starved(v.asked) / max(now.Sub(v.asked), 1))
	v.asked = now
	return percent
}

// judgeSilence reports silence as a stall, unless this end may have had no time to listen. In that case it judges again
// with the next challenge.
func (v *Viewer) judgeSilence() {
	if v.silent && !v.stalled && v.starved(time.Now().Add(-stallAfter)) < stallAfter/2 {
		v.stalled = true
		v.stall(true)
	}
}

func (v *Viewer) stall(stalled bool) {
	if v.cfg.OnStall != nil {
		v.cfg.OnStall(stalled)
	}
}
