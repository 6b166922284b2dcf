package session

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
)

// An agent is hurried while it checks, for each check that comes, and so often at most.
func TestHasteIsBounded(t *testing.T) {
	h, added := newHaste(), 0
	h.check()
	if len(h.wake) != 0 {
		t.Error("hurried before it checks")
	}
	h.state(webrtc.ICEConnectionStateChecking)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.run(t.Context(), func(webrtc.ICECandidateInit) error { added++; return nil })
	}()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
			h.check()
			runtime.Gosched()
		}
	}
	if added != hasteMost {
		t.Errorf("hurried %d times, want %d", added, hasteMost)
	}
	h.state(webrtc.ICEConnectionStateConnected)
	select {
	case <-h.wake:
	default:
	}
	if h.check(); len(h.wake) != 0 {
		t.Error("hurried once connected")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	h.run(over, nil)
	h.state(webrtc.ICEConnectionStateChecking)
	h.check()
	h.run(t.Context(), func(webrtc.ICECandidateInit) error { return errors.New("closed") })
}

// The candidate that hurries an agent is in no pair and no statistics of ours.
func TestHasteLeavesNoTrace(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ends := make([]*peer, 2)
	for i := range ends {
		var err error
		if ends[i], err = newPeer(ctx, peerConfig{carriers: []media.Carrier{media.H264Carrier}, loopback: true, log: quiet()}); err != nil {
			t.Fatal(err)
		}
		defer ends[i].pc.GracefulClose()
	}
	viewer, camera := ends[0], ends[1]
	gathered := webrtc.GatheringCompletePromise(viewer.pc)
	offer, err := viewer.pc.CreateOffer(nil)
	if err == nil {
		err = errors.Join(viewer.pc.SetLocalDescription(offer), camera.pc.SetRemoteDescription(offer))
	}
	if err != nil {
		t.Fatal(err)
	}
	answer, err := camera.pc.CreateAnswer(nil)
	if err == nil {
		err = viewer.pc.SetRemoteDescription(answer)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-gathered // what it could be paired with
	viewer.haste.wake <- struct{}{}
	viewer.haste.state(webrtc.ICEConnectionStateChecking)
	hurried, stop := context.WithCancel(ctx)
	defer stop()
	viewer.haste.run(hurried, func(c webrtc.ICECandidateInit) error {
		stop()
		return viewer.pc.AddICECandidate(c)
	})
	for id := ""; id == ""; {
		if ctx.Err() != nil {
			t.Fatal("the agent was given no candidate")
		}
		all := viewer.pc.GetStats()
		for _, x := range all {
			if c, ok := x.(webrtc.ICECandidateStats); ok && c.IP == hasteAddress {
				id = c.ID
			}
		}
		for _, x := range all {
			if p, ok := x.(webrtc.ICECandidatePairStats); ok && p.RemoteCandidateID == id {
				t.Errorf("it is paired: %+v", p)
			}
		}
	}
	if s := readStatistics(viewer.pc, false); len(s.theirs) != 0 {
		t.Errorf("%+v", s.theirs)
	}
}
