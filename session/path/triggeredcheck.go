package path

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/pion/webrtc/v4"
)

// maxTriggered is how often a session may make its agent check at once. Each time, the agent checks all pairs again.
const maxTriggered = 8

// MaxBindingRequests is how many checks of a pair pion makes, before there is a connection, until it gives the pair up.
// With each new candidate of either end, and each time that it is woken, pion checks all pairs at once, and
// turnclient's checkPacer holds back most of those checks. pion's own limit of 7 would be used up within milliseconds,
// before a router lets any check through. This limit is more than pion reaches in the time that a session has to
// connect.
const MaxBindingRequests = 256

// triggerAddress is the address of the candidates that only wake the agent (RFC 5737).
const triggerAddress = "192.0.2.1"

// TriggeredCheck makes pion's controlling agent look at its pairs as soon as there is something to see. By itself, the
// agent looks every 200 ms. Only then does it nominate a pair that has answered, unless that pair is the best possible
// one. And only then does it repeat its check of a pair on which a check of the other end has just arrived, although
// the other end's router may have dropped the first one (RFC 8445, section 7.3.1.4, wants such a triggered check at
// once). Both cost a start 100 ms on average, more than a round trip over most networks.
//
// Only a new candidate of the other end makes the agent look at once. So TriggeredCheck gives it one that pairs with
// nothing: a candidate for TCP simultaneous-open (RFC 6544, section 4.1), because no session has a local one of that
// kind, at an address reserved for documentation (RFC 5737). The statistics leave it out.
type TriggeredCheck struct {
	checking atomic.Bool
	wake     chan struct{} // holds one token
}

func NewTriggeredCheck() *TriggeredCheck { return &TriggeredCheck{wake: make(chan struct{}, 1)} }

// SetState notes the state of the connection.
func (h *TriggeredCheck) SetState(to webrtc.ICEConnectionState) {
	h.checking.Store(to == webrtc.ICEConnectionStateChecking)
}

// CheckCame notes that a check of the other end has arrived. The agent calls it, so it must not call the agent.
func (h *TriggeredCheck) CheckCame() {
	if !h.checking.Load() {
		return
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Run wakes the agent, by calling add, until ctx ends.
func (h *TriggeredCheck) Run(ctx context.Context, add func(webrtc.ICECandidateInit) error) {
	mid := "0"
	for n := range maxTriggered {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}

		if !h.checking.Load() {
			continue
		}
		if add(webrtc.ICECandidateInit{Candidate: fmt.Sprintf("candidate:1 1 tcp 1 %s %d typ host tcptype so",
			triggerAddress, 1+n), SDPMid: &mid}) != nil {
			return
		}
	}
}
