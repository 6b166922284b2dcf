package session

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

// newSender is a sender whose track leads nowhere yet.
func newSender(t *testing.T, s *secret, first challenge) *sender {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticRTP(codec(media.H264Carrier).RTPCodecCapability, "video", "peephole")
	if err != nil {
		t.Fatal(err)
	}
	sender := &sender{track: track, carrier: media.H264Carrier, log: slog.New(slog.DiscardHandler)}
	if err := sender.seal(s, first[:]); err != nil {
		t.Fatal(err)
	}
	return sender
}

// Frames that are sent at once must not share a timestamp, or they would be taken for one; others tell the time they are sent at. Over all
// sequence numbers, and over the wrap of the timestamp.
func TestTimestampsOnlyRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sender
		s.stamp()
		for n := range 200_000 {
			before := s.header.Timestamp
			s.header.SequenceNumber = uint16(n)
			if n%3 == 0 {
				time.Sleep(time.Duration(n%7) * 33 * time.Millisecond)
			}
			s.stamp()
			if step := int32(s.header.Timestamp - before); step < clockRate/1000 {
				t.Fatalf("frame %d: %d ticks after the one before", n, step)
			}
		}
		before, at := s.header.Timestamp, time.Now()
		time.Sleep(time.Hour)
		s.stamp()
		if want, got := time.Since(at).Seconds()*clockRate, float64(s.header.Timestamp-before); got < 0.9*want || got > want {
			t.Errorf("%v ticks in an hour, want about %v", got, want)
		}
	})
}

func TestOldPicturesCarryNoChallenge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSecret(t)
		first := challenge{1}
		sender := newSender(t, s, first)
		receiver, err := sframe.NewReceiver(s.cameraBaseKey(videoTrack), kid(identity.Camera, videoTrack))
		if err != nil {
			t.Fatal(err)
		}
		captured := time.Now()
		carried := func() challenge {
			t.Helper()
			if err := sender.send(t.Context(), media.AccessUnit{Data: []byte("unit"), Captured: captured}); err != nil {
				t.Fatal(err)
			}
			plain, _, err := receiver.Open(nil, s.binding(videoTrack), sender.sealed)
			if err != nil {
				t.Fatal(err)
			}
			_, c, err := parseFrame(plain)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		if c := carried(); c != first {
			t.Errorf("a new picture carries %x, want %x", c, first)
		}
		time.Sleep(LiveFor)
		sender.answerTo([]byte{2, 0, 0, 0, 0, 0, 0, 0})
		sender.answerTo([]byte{3}) // no challenge: not answered
		if c := carried(); c != (challenge{2}) {
			t.Errorf("a picture of exactly %s carries %x, want the last challenge", LiveFor, c)
		}
		time.Sleep(time.Nanosecond)
		if c := carried(); c != (challenge{}) {
			t.Errorf("a picture older than %s carries %x, want zeros", LiveFor, c)
		}
	})
}

func TestAskingAgainIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sender
		s.again() // before there is a subscription
		n := 0
		cancel := context.CancelFunc(func() { n++ })
		s.cancel.Store(&cancel)
		for range 1000 {
			s.again()
		}
		if n != 1 {
			t.Errorf("a flood of requests had %d effects, want 1", n)
		}
		time.Sleep(restartEvery + 1)
		if s.again(); n != 2 {
			t.Errorf("%d effects after a pause, want 2", n)
		}
	})
}
