package handshake

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

// capturedAt returns the moment at which a camera's wall clock showed wall.
func capturedAt(wall time.Time) clock.Moment {
	return clock.New(func() time.Duration { return 0 }, func() time.Time { return wall }).Now()
}

func TestFrameReadsAsItWasWritten(t *testing.T) {
	captured := capturedAt(time.UnixMilli(1_700_000_000_123))
	for _, keyframe := range []bool{false, true} {
		plain := appendFrame([]byte{9}, media.AccessUnit{
			Data:     []byte("unit"),
			Keyframe: keyframe,
			Captured: captured,
		}, Challenge{1, 2, 3, 4, 5, 6, 7, 8})[1:]

		f, c, err := parseFrame(plain)
		if err != nil || string(f.AccessUnit) != "unit" || f.Keyframe != keyframe ||
			!f.Captured.Equal(captured.Time()) || c != (Challenge{1, 2, 3, 4, 5, 6, 7, 8}) {
			t.Errorf("parse: %+v, %v, %v", f, c, err)
		}

		if f.Live() {
			t.Error("a frame without a known challenge is live")
		}
	}
}

func TestMalformedFrameIsRefused(t *testing.T) {
	good := appendFrame(nil, media.AccessUnit{Data: []byte("unit")}, Challenge{})
	for name, change := range map[string]func(b []byte) []byte{
		"old version":  func(b []byte) []byte { b[0] = 1; return b },
		"new version":  func(b []byte) []byte { b[0] = 3; return b },
		"unknown flag": func(b []byte) []byte { b[1] = 8; return b },
		"codec":        func(b []byte) []byte { b[2] = 2; return b },
		"no unit":      func(b []byte) []byte { return b[:frameHeaderSize] },
		"empty":        func([]byte) []byte { return nil },
	} {
		if f, _, err := parseFrame(change(bytes.Clone(good))); !errors.Is(err, ErrFrame) || f.AccessUnit != nil {
			t.Errorf("%s: %+v, %v; want %v", name, f, err, ErrFrame)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(appendFrame(nil, media.AccessUnit{
		Data:     []byte("unit"),
		Keyframe: true,
		Captured: capturedAt(time.UnixMilli(1)),
	}, Challenge{1}))

	f.Add(make([]byte, frameHeaderSize+1))
	f.Fuzz(func(t *testing.T, plain []byte) {
		frame, c, err := parseFrame(plain)
		if err != nil {
			if frame.AccessUnit != nil {
				t.Error("a refused frame has a picture")
			}
			return
		}

		unit := media.AccessUnit{Keyframe: frame.Keyframe, Captured: capturedAt(frame.Captured)}
		again := appendPiece(nil, unit, piece{frame.AccessUnit, frame.continued, frame.continues}, c)
		if !bytes.Equal(again, plain) {
			t.Errorf("read %x, and wrote it as %x", plain, again)
		}
	})
}

// opened is a FrameOpener, with what it opened and what it refused.
type opened struct {
	*FrameOpener
	shown    []Frame
	rejected []error
}

func newOpened(t *testing.T, s *Secret) *opened {
	t.Helper()
	opener, err := s.NewFrameOpener(NewFreshness(nil))
	if err != nil {
		t.Fatal(err)
	}
	return &opened{FrameOpener: opener}
}

func (o *opened) add(sealed []byte) {
	f, whole, err := o.Open(sealed)
	switch {
	case err != nil:
		o.rejected = append(o.rejected, err)
	case whole:
		o.shown = append(o.shown, f)
	}
}

func TestFrameOpensOrIsRejected(t *testing.T) {
	s := testSecret(t)
	sender, err := s.frameSender(videoTrack)
	if err != nil {
		t.Fatal(err)
	}
	var frames [][]byte

	for n := range 4 {
		plain := appendFrame(nil, media.AccessUnit{Data: []byte{byte(n)}}, Challenge{})
		if n == 3 {
			plain[0] = 9 // sealed by the camera, but not a frame
		}
		frame, err := sender.Seal(nil, s.binding(videoTrack), plain)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}

	foreign := *s
	foreign.viewer[0] ^= 1
	for _, tt := range []struct {
		name   string
		Secret *Secret
		frames [][]byte
		shown  int
		err    error // the last one
	}{
		{"in order", s, frames[:3], 3, nil},
		{"over a gap", s, [][]byte{frames[0], frames[2]}, 2, nil},
		{"replayed", s, [][]byte{frames[0], frames[0]}, 1, sframe.ErrReplayed},
		{"reordered", s, [][]byte{frames[1], frames[0]}, 1, sframe.ErrReplayed},
		{"tampered", s, [][]byte{flipped(frames[0])}, 0, sframe.ErrOpen},
		{"for another viewer", &foreign, frames[:1], 0, sframe.ErrOpen},
		{"of another session", testSecret(t), frames[:1], 0, sframe.ErrOpen},
		{"malformed", s, frames[3:], 0, ErrFrame},
		{"empty", s, [][]byte{nil}, 0, sframe.ErrHeader},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOpened(t, tt.Secret)
			for _, f := range tt.frames {
				o.add(f)
			}
			if len(o.shown) != tt.shown || len(o.shown)+len(o.rejected) != len(tt.frames) {
				t.Errorf("%d shown, %d rejected of %d; want %d shown", len(o.shown), len(o.rejected), len(tt.frames),
					tt.shown)
			}

			if tt.err != nil && (len(o.rejected) == 0 || !errors.Is(o.rejected[len(o.rejected)-1], tt.err)) {
				t.Errorf("rejected %v, want %v", o.rejected, tt.err)
			}
		})
	}
}
