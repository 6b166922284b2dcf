package session

import (
	"sync/atomic"

	"github.com/pion/webrtc/v4"
)

// pairFailover moves an end to another candidate pair when nothing arrives on the selected one. pion's controlling
// agent checks all pairs for as long as a session lasts, including those through another relay. But it never leaves a
// dead pair by itself: it judges by the last round trip measured, and a dead pair measures none. So a stalled end
// selects the first pair on which a check of the other end arrives and which has answered a check before. The camera
// does so first, because the viewer checks all pairs; the viewer follows, because the camera then uses the new one.
// Nothing is signaled, because the relay that died may also be the one that did signaling.
type pairFailover struct{ stalled atomic.Bool }

// setState notes the state of the connection.
func (s *pairFailover) setState(to webrtc.ICEConnectionState) {
	s.stalled.Store(to == webrtc.ICEConnectionStateDisconnected)
}

// shouldSelect reports whether to select the pair on which a check just arrived. answers is how many checks of this end
// have been answered on that pair.
func (s *pairFailover) shouldSelect(answers uint64) bool { return answers > 0 && s.stalled.Load() }

// onCheck makes shouldSelect decide about each check. The type parameters stand for types of pion/ice which only
// pion/webrtc can name.
func onCheck[M, C any, P interface{ ResponsesReceived() uint64 }](set func(func(M, C, C, P) bool),
	shouldSelect func(answers uint64) bool) {
	set(func(_ M, _, _ C, pair P) bool { return shouldSelect(pair.ResponsesReceived()) })
}
