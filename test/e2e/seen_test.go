package e2e

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

// seen is what one person saw and read. The mark in a picture says whose it is, not anything that our own programs
// count.
type seen struct {
	mark   string             // of the camera that this person is paired with
	enough int                // frames after which done is called; 0: never
	done   context.CancelFunc // nil with enough 0

	mu       sync.Mutex
	stills   int
	frames   int // of the stream
	live     int
	foreign  int // pictures that carry another mark than mark, or none, or several
	rejected int
	retries  int
	path     session.Path
	told     map[string]int // sentences
	last     time.Time      // of the last frame that was right and live
}

// picture counts one picture.
func (s *seen) picture(f session.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	right := slices.Equal(media.Marks(f.AccessUnit), []string{s.mark})
	if !right {
		s.foreign++
	}

	if f.Still { // came through signaling, before the stream or without one
		s.stills++
		return
	}
	if s.frames++; f.Live() {
		s.live++
	}

	if right && f.Live() {
		s.last = time.Now()
	}
	if s.enough > 0 && s.frames == s.enough {
		s.done()
	}
}

// say records a sentence.
func (s *seen) say(sentence string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		s.told = make(map[string]int)
	}
	s.told[sentence]++
}

func (s *seen) reject(r session.Rejection) {
	s.say(r.Text())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected++
}

// watch returns how this person watches.
func (s *seen) watch(relayOnly bool) viewer.Watch {
	return viewer.Watch{
		RelayOnly: relayOnly,
		OnFrame:   s.picture,
		OnPath:    func(p session.Path) { s.mu.Lock(); s.path = p; s.mu.Unlock() },
		OnReject:  s.reject,
		OnStatus: func(status session.Status) {
			if status.Text != "" { // otherwise the last sentence no longer holds
				s.say(status.Text)
			}
		},
		OnRetry: func(err error) {
			s.say(err.Error())
			s.mu.Lock()
			defer s.mu.Unlock()
			s.retries++
		},
	}
}

// forget forgets the sentences.
func (s *seen) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = nil
}

// sentences returns all recorded sentences, in alphabetical order.
func (s *seen) sentences() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.told))
}

// counted is what has been counted so far.
type counted struct{ frames, stills, foreign, rejected, retries int }

func (s *seen) counted() counted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return counted{s.frames, s.stills, s.foreign, s.rejected, s.retries}
}

// lastRight returns when the last right and live frame of the stream came; zero: none yet.
func (s *seen) lastRight() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// A frame with another camera's mark, with none, or with two counts as a stranger's, in the code that finds none
// everywhere else.
func TestStrangersFramesAreCounted(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	ours, theirs := startCamera(t, c, "ours", 0), startCamera(t, c, "theirs", 1)
	v := pair(t, ours)
	pairWith(t, v, theirs)
	for _, tt := range []struct {
		name, camera, mark string
		all                int // how many of the pictures are a stranger's: 1 or 0
	}{
		{"its own camera", "ours", ours.Mark, 0},
		{"another's camera in its own's place", "theirs", ours.Mark, 1},
	} {
		s, err := watch(t, v, tt.camera, tt.mark, 5, patience, false)
		if err != nil || s.frames != 5 || s.foreign != tt.all*(s.frames+s.stills) {
			t.Errorf("%s: %d frames and %d stills, %d of them a stranger's, %v", tt.name, s.frames, s.stills, s.foreign,
				err)
		}
	}

	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	var unmarked []byte
	if err := clips[0].Source("").Run(ctx, func(unit media.AccessUnit) {
		unmarked = unit.Data
		cancel()
	}); unmarked == nil {
		t.Fatal(err)
	}

	s := &seen{mark: ours.Mark}
	both := media.InsertSEI(media.InsertSEI(unmarked, media.MarkSEI(ours.Mark)), media.MarkSEI(theirs.Mark))
	for _, f := range []session.Frame{{AccessUnit: unmarked, Challenged: clock.Now()},
		{AccessUnit: both, Challenged: clock.Now()}, {AccessUnit: both, Still: true}} {
		s.picture(f)
	}

	if s.foreign != 3 || !s.last.IsZero() {
		t.Errorf("%d of 3 pictures without a mark, and with two, were counted", s.foreign)
	}
}
