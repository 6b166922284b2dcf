package path

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// An agent is woken only while it checks, once for each check that arrives, and at most maxTriggered times.
func TestTriggeredChecksAreBounded(t *testing.T) {
	h, added := NewTriggeredCheck(), 0
	h.CheckCame()
	if len(h.wake) != 0 {
		t.Error("woken before the agent checks")
	}

	h.SetState(webrtc.ICEConnectionStateChecking)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(t.Context(), func(webrtc.ICECandidateInit) error { added++; return nil })
	}()

	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
			h.CheckCame()
			runtime.Gosched()
		}
	}

	if added != maxTriggered {
		t.Errorf("woken %d times, want %d", added, maxTriggered)
	}
	h.SetState(webrtc.ICEConnectionStateConnected)
	select {
	case <-h.wake:
	default:
	}

	if h.CheckCame(); len(h.wake) != 0 {
		t.Error("woken once connected")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	h.Run(over, nil)
	h.SetState(webrtc.ICEConnectionStateChecking)
	h.CheckCame()
	h.Run(t.Context(), func(webrtc.ICECandidateInit) error { return errors.New("closed") })
}

// loopbackPeer returns a connection with a data channel, like that of a session's end, on this machine.
func loopbackPeer(t *testing.T) *webrtc.PeerConnection {
	t.Helper()
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	if _, err := pc.CreateDataChannel("peephole", nil); err != nil {
		t.Fatal(err)
	}
	return pc
}

// The candidate that wakes an agent is in no pair, and in none of our statistics.
func TestTriggeringCandidateLeavesNoTrace(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // in case the test hangs
	defer cancel()
	viewer, camera := loopbackPeer(t), loopbackPeer(t)
	gathered := webrtc.GatheringCompletePromise(viewer)
	offer, err := viewer.CreateOffer(nil)
	if err == nil {
		err = errors.Join(viewer.SetLocalDescription(offer), camera.SetRemoteDescription(offer))
	}
	if err != nil {
		t.Fatal(err)
	}

	answer, err := camera.CreateAnswer(nil)
	if err == nil {
		err = viewer.SetRemoteDescription(answer)
	}
	if err != nil {
		t.Fatal(err)
	}

	<-gathered // so that there are candidates with which it could be paired
	h := NewTriggeredCheck()
	h.wake <- struct{}{}
	h.SetState(webrtc.ICEConnectionStateChecking)
	woken, stop := context.WithCancel(ctx)
	defer stop()

	h.Run(woken, func(c webrtc.ICECandidateInit) error {
		stop()
		return viewer.AddICECandidate(c)
	})
	for id := ""; id == ""; {
		if ctx.Err() != nil {
			t.Fatal("the agent got no candidate")
		}
		all := viewer.GetStats()
		for _, x := range all {
			if c, ok := x.(webrtc.ICECandidateStats); ok && c.IP == triggerAddress {
				id = c.ID
			}
		}

		for _, x := range all {
			if p, ok := x.(webrtc.ICECandidatePairStats); ok && p.RemoteCandidateID == id {
				t.Errorf("the candidate is in a pair: %+v", p)
			}
		}
	}

	if s := readStats(viewer, false); len(s.theirs) != 0 {
		t.Errorf("the statistics hold %+v", s.theirs)
	}
}
