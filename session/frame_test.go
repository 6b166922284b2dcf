package session

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

func TestFrame(t *testing.T) {
	captured := time.UnixMilli(1_700_000_000_123)
	for _, keyframe := range []bool{false, true} {
		plain := appendFrame([]byte{9}, media.AccessUnit{Data: []byte("unit"), Keyframe: keyframe, Captured: captured}, challenge{1, 2, 3, 4, 5, 6, 7, 8})[1:]
		f, c, err := parseFrame(plain)
		if err != nil || string(f.AccessUnit) != "unit" || f.Keyframe != keyframe || !f.Captured.Equal(captured) || c != (challenge{1, 2, 3, 4, 5, 6, 7, 8}) {
			t.Errorf("parse: %+v, %v, %v", f, c, err)
		}
		if f.Live {
			t.Error("a frame that nobody judged is live")
		}
	}
}

func TestFrameRefused(t *testing.T) {
	good := appendFrame(nil, media.AccessUnit{Data: []byte("unit")}, challenge{})
	for name, change := range map[string]func(b []byte) []byte{
		"version":      func(b []byte) []byte { b[0] = 2; return b },
		"unknown flag": func(b []byte) []byte { b[1] = 2; return b },
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
	f.Add(appendFrame(nil, media.AccessUnit{Data: []byte("unit"), Keyframe: true, Captured: time.UnixMilli(1)}, challenge{1}))
	f.Add(make([]byte, frameHeaderSize+1))
	f.Fuzz(func(t *testing.T, plain []byte) {
		frame, c, err := parseFrame(plain)
		if err != nil {
			if frame.AccessUnit != nil {
				t.Error("a refused frame has a picture")
			}
			return
		}
		again := appendFrame(nil, media.AccessUnit{Data: frame.AccessUnit, Keyframe: frame.Keyframe, Captured: frame.Captured}, c)
		if !bytes.Equal(again, plain) {
			t.Errorf("%x reads as what is written %x", plain, again)
		}
	})
}

// opened is what an opener showed and what it rejected.
type opened struct {
	*opener
	shown    []Frame
	rejected []error
}

func newOpened(t *testing.T, s *secret) *opened {
	t.Helper()
	receiver, err := sframe.NewReceiver(s.cameraBaseKey(videoTrack), kid(identity.Camera, videoTrack))
	if err != nil {
		t.Fatal(err)
	}
	o := &opened{}
	o.opener = &opener{carrier: media.H264Carrier, receiver: receiver, binding: s.binding(videoTrack), fresh: &freshness{},
		onFrame: func(f Frame) { o.shown = append(o.shown, f) },
		reject:  func(_ string, err error) { o.rejected = append(o.rejected, err) }}
	return o
}

func TestOpenerShowsOrRejects(t *testing.T) {
	s := testSecret(t)
	sender, err := sframe.NewSender(s.cameraBaseKey(videoTrack), kid(identity.Camera, videoTrack))
	if err != nil {
		t.Fatal(err)
	}
	var frames [][]byte
	for n := range 4 {
		plain := appendFrame(nil, media.AccessUnit{Data: []byte{byte(n)}}, challenge{})
		if n == 3 {
			plain[0] = 2 // sealed by the camera, and not laid out as a frame
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
		secret *secret
		frames [][]byte
		shown  int
		err    error // of the last
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
			o := newOpened(t, tt.secret)
			for _, f := range tt.frames {
				o.open(media.Frame{Sealed: f})
			}
			if len(o.shown) != tt.shown || len(o.shown)+len(o.rejected) != len(tt.frames) {
				t.Errorf("%d shown, %d rejected of %d; want %d shown", len(o.shown), len(o.rejected), len(tt.frames), tt.shown)
			}
			if tt.err != nil && (len(o.rejected) == 0 || !errors.Is(o.rejected[len(o.rejected)-1], tt.err)) {
				t.Errorf("rejected %v, want %v", o.rejected, tt.err)
			}
		})
	}
}
