package handshake

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// sealedFrames is a FrameSealer with the receiver that opens its frames.
type sealedFrames struct {
	*FrameSealer
	receiver *sframe.Receiver
}

func newSealedFrames(t *testing.T, first Challenge) *sealedFrames {
	t.Helper()
	s := testSecret(t)
	receiver, err := s.frameReceiver(videoTrack)
	if err != nil {
		t.Fatal(err)
	}

	sealer, err := s.NewFrameSealer(first[:])
	if err != nil {
		t.Fatal(err)
	}
	return &sealedFrames{sealer, receiver}
}

// answered seals a picture, and returns the challenge that it carries.
func (f *sealedFrames) answered(t *testing.T, captured clock.Moment) Challenge {
	t.Helper()
	frames := f.Cut(media.AccessUnit{Data: []byte("unit"), Captured: captured})
	sealed, err := f.Seal(frames[0])
	if err != nil {
		t.Fatal(err)
	}

	plain, _, err := f.receiver.Open(nil, f.binding, sealed)
	if err != nil {
		t.Fatal(err)
	}
	_, c, err := parseFrame(plain)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOldPicturesCarryNoChallenge(t *testing.T) {
	machine := &sessiontest.Machine{}
	s := newSealedFrames(t, Challenge{1})
	captured := machine.Clock().Now()
	if c := s.answered(t, captured); c != (Challenge{1}) {
		t.Errorf("a new picture carries %x, want the first challenge", c)
	}

	machine.Run(LiveFor)
	s.AnswerChallenge([]byte{2, 0, 0, 0, 0, 0, 0, 0})
	s.AnswerChallenge([]byte{3}) // too short to be a challenge, so it is ignored
	if c := s.answered(t, captured); c != (Challenge{2}) {
		t.Errorf("a picture that is exactly %s old carries %x, want the last challenge", LiveFor, c)
	}

	machine.Run(time.Nanosecond)
	if c := s.answered(t, captured); c != (Challenge{}) {
		t.Errorf("a picture older than %s carries %x, want zeros", LiveFor, c)
	}
}

// A picture from before a sleep, or from before the camera's clock was set, is not sent as current.
func TestPictureFromBeforeASleepCarriesNoChallenge(t *testing.T) {
	for _, tt := range sessiontest.Interruptions {
		t.Run(tt.Name, func(t *testing.T) {
			machine := &sessiontest.Machine{}
			s := newSealedFrames(t, Challenge{1})
			captured := machine.Clock().Now()
			machine.Run(time.Second)
			tt.Happen(machine)
			s.AnswerChallenge([]byte{2, 0, 0, 0, 0, 0, 0, 0})
			if c := s.answered(t, captured); c != (Challenge{}) {
				t.Errorf("the picture carries %x, want zeros", c)
			}

			if c := s.answered(t, machine.Clock().Now()); c != (Challenge{2}) {
				t.Errorf("a picture captured afterwards carries %x, want the last challenge", c)
			}
		})
	}
}

// The machine may go to sleep just after it has found a picture young enough, and wake up to a new challenge. The
// picture must not carry that one.
func TestPictureFromBeforeASleepCarriesNoLaterChallenge(t *testing.T) {
	machine := &sessiontest.Machine{}
	s := newSealedFrames(t, Challenge{1})
	judged := false
	captured := clock.New(func() time.Duration { return machine.Boot }, func() time.Time {
		if judged {
			s.AnswerChallenge([]byte{2, 0, 0, 0, 0, 0, 0, 0}) // just after the clocks were read
		}
		return time.Unix(1e9, 0).Add(machine.Wall)
	}).Now()

	judged = true
	if c := s.answered(t, captured); c != (Challenge{1}) {
		t.Errorf("the picture carries %x, want the challenge from before the sleep", c)
	}
}
