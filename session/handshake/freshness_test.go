package handshake

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// frameFor returns a frame that answers c.
func frameFor(f *Freshness, c Challenge) Frame { return Frame{Challenged: f.when(c)} }

func TestPictureIsLiveUntilFiveSecondsAfterItsChallenge(t *testing.T) {
	machine := &sessiontest.Machine{}
	f := Freshness{clock: machine.Clock()}
	frame := frameFor(&f, f.Issue())
	if !frame.Live() {
		t.Error("a new frame is not live")
	}

	machine.Run(LiveFor)
	if !frame.Live() {
		t.Errorf("the frame is not live after exactly %s", LiveFor)
	}
	machine.Run(time.Nanosecond)
	if frame.Live() {
		t.Errorf("the same frame is live after %s and a nanosecond", LiveFor)
	}
}

func TestUnknownChallengeIsNeverLive(t *testing.T) {
	var f Freshness
	for _, c := range []Challenge{{}, {1}} {
		if frameFor(&f, c).Live() {
			t.Errorf("%x is live before any was issued", c)
		}
	}

	f.Issue()
	if frameFor(&f, Challenge{}).Live() {
		t.Error("the zeros of a cached frame are live")
	}
}

// A stream that is held back for a minute, and then delivered at the pace of a live one, is never live, however many
// challenges the viewer issues meanwhile.
func TestStreamHeldBackIsNeverLive(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := Freshness{clock: sessiontest.Clock()}
		var held []Challenge
		for range 180 {
			held = append(held, f.Issue())
			if n := len(held) - 61; n >= 0 && frameFor(&f, held[n]).Live() {
				t.Fatalf("frame %d is live although it is a minute late", n)
			}
			time.Sleep(ChallengeEvery)
		}

		if len(f.issued) != challengesKnown {
			t.Errorf("%d challenges are remembered, want %d", len(f.issued), challengesKnown)
		}
	})
}

// A frame that a relay kept while a laptop slept, or while its clock was set, is not live afterwards. One that answers
// a later challenge is.
func TestSleepKeepsNothingLive(t *testing.T) {
	for _, tt := range sessiontest.Interruptions {
		t.Run(tt.Name, func(t *testing.T) {
			machine := &sessiontest.Machine{}
			f := Freshness{clock: machine.Clock()}
			before := frameFor(&f, f.Issue())
			machine.Run(time.Second)
			if !before.Live() {
				t.Fatal("the frame is not live before the interruption")
			}

			tt.Happen(machine)
			if before.Live() {
				t.Error("the frame is live after the interruption")
			}
			if after := frameFor(&f, f.Issue()); !after.Live() {
				t.Error("a frame challenged after the interruption is not live")
			}
		})
	}
}
