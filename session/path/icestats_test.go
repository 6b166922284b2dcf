package path

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// The selected pair is in the statistics only once the agent has told of it, because an explanation says since when it
// carries the media.
func TestSelectedPairIsReadOnlyOnceItIsKnown(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // in case the test hangs
	defer cancel()
	viewer, camera := loopbackPeer(t), loopbackPeer(t)
	selected := make(chan struct{}, 1)
	viewer.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) {
		select {
		case selected <- struct{}{}:
		default: // it has changed again
		}
	})

	described := webrtc.GatheringCompletePromise(viewer)
	offer, err := viewer.CreateOffer(nil)
	if err := errors.Join(err, viewer.SetLocalDescription(offer)); err != nil {
		t.Fatal(err)
	}
	<-described
	if err := camera.SetRemoteDescription(*viewer.LocalDescription()); err != nil {
		t.Fatal(err)
	}

	answered := webrtc.GatheringCompletePromise(camera)
	answer, err := camera.CreateAnswer(nil)
	if err := errors.Join(err, camera.SetLocalDescription(answer)); err != nil {
		t.Fatal(err)
	}
	<-answered
	if err := viewer.SetRemoteDescription(*camera.LocalDescription()); err != nil {
		t.Fatal(err)
	}

	select {
	case <-selected:
	case <-ctx.Done():
		t.Fatal("no pair was selected")
	}
	s := readStats(viewer, true)
	if _, ok := s.ours[s.local]; !ok {
		t.Errorf("the statistics hold no selected pair: %+v", s)
	}
	if s := readStats(viewer, false); s.local != "" || s.remote != "" || s.rtt != 0 {
		t.Errorf("the statistics hold the pair %s, %s, with a round trip of %v s", s.local, s.remote, s.rtt)
	}
}
