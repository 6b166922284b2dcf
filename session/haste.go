package session

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/pion/webrtc/v4"
)

// hasteMost is how often a session's agent is hurried at most. Each time it checks all pairs again.
const hasteMost = 8

// checksMost is how often a pair is checked before there is a connection, until it counts as failed: pion's 7, and once more whenever the agent is hurried.
const checksMost = 7 + hasteMost

// hasteAddress is that of the candidates that are none.
const hasteAddress = "192.0.2.1"

// haste has pion's controlling agent look at its pairs when there is something to see. By itself it does so every 200 ms: only then it nominates a pair that has
// answered, unless that is the best there could ever be, and only then it checks again the pair that a check of the other end has just come by, whose router
// may have dropped the first (RFC 8445, section 7.3.1.4, wants such a check at once). Both cost a start 100 ms on average, more than a round trip over
// most networks. The only thing that makes the agent look at once is a new candidate of the other end; so it is given one
// that is paired with nothing: of TCP simultaneous-open (RFC 6544, section 4.1), of which no session has a local one, at an address
// for documentation (RFC 5737). Statistics leave it out.
type haste struct {
	checking atomic.Bool
	wake     chan struct{} // holds one token
}

func newHaste() *haste { return &haste{wake: make(chan struct{}, 1)} }

// state is told the connection's.
func (h *haste) state(to webrtc.ICEConnectionState) {
	h.checking.Store(to == webrtc.ICEConnectionStateChecking)
}

// check is told that a check of the other end has come. It is called by the agent, and must not call it.
func (h *haste) check() {
	if !h.checking.Load() {
		return
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run hurries the agent until ctx ends.
func (h *haste) run(ctx context.Context, add func(webrtc.ICECandidateInit) error) {
	mid := "0"
	for n := range hasteMost {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}
		if !h.checking.Load() {
			continue
		}
		if add(webrtc.ICECandidateInit{Candidate: fmt.Sprintf("candidate:1 1 tcp 1 %s %d typ host tcptype so", hasteAddress, 1+n), SDPMid: &mid}) != nil {
			return
		}
	}
}
