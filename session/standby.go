package session

import (
	"sync/atomic"

	"github.com/pion/webrtc/v4"
)

// standby moves an end to another pair of candidates when nothing comes by the selected one. pion's controlling agent checks all pairs as long
// as a session lasts, and so those through another relay, but by itself it leaves a pair that has died for no other: it judges by the last round trip
// measured, and a dead pair measures none. So the end that is stalled takes the first pair by which a check of the other end still arrives, and has
// answered its own before. The camera's does so first, because the viewer's checks go by all pairs; the viewer's follows, because the camera's go by
// the selected one. Nothing is signaled: the relay that died may be the one that did signaling too.
type standby struct{ stalled atomic.Bool }

// state is told the connection's.
func (s *standby) state(to webrtc.ICEConnectionState) {
	s.stalled.Store(to == webrtc.ICEConnectionStateDisconnected)
}

// take says whether the pair that a check came by is to be selected now. answers are those that it has given to checks of this end.
func (s *standby) take(answers uint64) bool { return answers > 0 && s.stalled.Load() }

// onCheck hands take what it needs of a pair. Its parameters stand for types of pion/ice, which is pion/webrtc's affair.
func onCheck[M, C any, P interface{ ResponsesReceived() uint64 }](set func(func(M, C, C, P) bool), take func(answers uint64) bool) {
	set(func(_ M, _, _ C, pair P) bool { return take(pair.ResponsesReceived()) })
}
