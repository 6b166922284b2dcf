package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
)

// sampled is what a page showed at one moment when it was drawn (web/test/browser/sampler.mjs).
type sampled struct {
	at     time.Time
	number int // of the film's picture; -1: none
	live   bool
}

// UnmarshalJSON reads [Unix milliseconds, number, live].
func (s *sampled) UnmarshalJSON(text []byte) error {
	var ms float64
	if err := json.Unmarshal(text, &[]any{&ms, &s.number, &s.live}); err != nil {
		return fmt.Errorf("read sample: %w", err)
	}
	s.at = time.UnixMicro(int64(ms * 1000))
	return nil
}

// screens are the ways in which browsers show a picture.
var screens = []struct {
	name  string
	drive drive
}{
	{"chromium plays the track", drive{Browser: "chromium", Policy: "plain", RelayOnly: true}},
	{"chromium, the page draws", drive{Browser: "chromium", Policy: "plain", RelayOnly: true, HideH264: true}},
	{"firefox, the page draws", drive{Browser: "firefox", Policy: "plain", RelayOnly: true}},
}

// filmScene is a camera that plays the number film, with a front on the only path to it.
type filmScene struct {
	*numberFilm
	*household
	front *turnFront
	url   string
}

func newFilmScene(t *testing.T) *filmScene {
	t.Helper()
	c := startCloud(t, remembering)
	s := &filmScene{front: startTURNFront(t, c), url: c.URLs()[0]}
	count := countFrames(s.front)
	s.numberFilm = newNumberFilm(t, count.count)
	s.household = runCameraOf(t, nil, s.url, "front door", s.numberFilm, filepath.Join(t.TempDir(), "front door"))
	return s
}

// late returns how many samples called a picture live more than five seconds after it was sealed, and the longest such
// delay. The picture was challenged before it was sealed. A browser's clocks are accurate to a few milliseconds.
func (s *filmScene) late(samples []sampled) (late int, latest time.Duration) {
	const tolerance = 5 * time.Millisecond
	for _, x := range samples {
		if x.number < 0 || !x.live {
			continue
		}
		sealed := s.numberFilm.sealed(x.number)
		if over := x.at.Sub(sealed) - 5*time.Second; !sealed.IsZero() && over > tolerance {
			late, latest = late+1, max(latest, over)
		}
	}

	return late, latest
}

// drag delays media more and more, up to 4.5 s, then lets nothing pass for 3 s and then everything at once, again and
// again.
func drag() func(time.Time) time.Duration {
	const rises, ends = 9 * time.Second, 16500 * time.Millisecond
	begin := time.Now()
	return func(now time.Time) time.Duration {
		if at := now.Sub(begin) % ends; at >= rises {
			return ends - at
		} else {
			return at / 2
		}
	}
}

// Somebody on the path holds RTP back so that the browser's own buffer grows: pictures are opened while they are fresh,
// and then wait there. No picture on the screen is called live if its challenge is more than five seconds old.
func TestBrowserCallsNoHeldPictureLive(t *testing.T) {
	t.Parallel()
	for _, tt := range screens {
		t.Run(tt.name, func(t *testing.T) {
			s := newFilmScene(t)
			between := func(line string) {
				switch line {
				case "hold":
					s.front.hold(t, drag())
				case "release":
					s.front.hold(t, nil)
				}
			}

			tt.drive.Steps = []step{
				{"open": s.url}, {"paste": s.code(t).URI()}, {"wait": "playing", "cards": 1}, {"sample": true},
				{"sampled": 20, "live": true},
				{"tell": "hold", "hear": true}, {"sampled": 300, "live": false},
				{"tell": "release", "hear": true}, {"sampled": 20, "live": true},
			}

			r := tt.drive.run(t, between)
			late, latest := s.late(r.Samples)
			t.Logf("%d samples, %d of them too late, by up to %v", len(r.Samples), late, latest)
			if late > 0 {
				t.Errorf("%d times a picture was called live too late, by up to %v", late, latest)
			}
		})
	}
}

// After its device slept or its clock was set, a page calls no earlier picture live, from the first time that it is
// drawn, even while the same pictures go on.
func TestBrowserCallsNothingLiveOfBeforeASleep(t *testing.T) {
	t.Parallel()
	const hour = 3_600_000
	for _, tt := range screens {
		t.Run(tt.name, func(t *testing.T) {
			s := newFilmScene(t)
			tt.drive.Steps = []step{{"open": s.url}, {"paste": s.code(t).URI()}, {"wait": "playing", "cards": 1}}
			jumps := []map[string]int{
				{"now": 0, "wall": hour},     // a sleep that only the wall clock counts
				{"now": hour, "wall": hour},  // a sleep that both clocks count
				{"now": hour, "wall": 0},     // a sleep during which the wall clock was set back by as much
				{"now": 0, "wall": -hour},    // the wall clock is set back: the device may have slept meanwhile
				{"now": 0, "wall": 6 * 1000}, // the wall clock is set forward
			}
			for _, j := range jumps {
				tt.drive.Steps = append(tt.drive.Steps, step{"clocks": j})
			}

			r := tt.drive.run(t)
			if len(r.After) != len(jumps) {
				t.Fatalf("%d jumps were judged", len(r.After))
			}

			for i, live := range r.After {
				if live {
					t.Errorf("a picture of before is called live after the clocks have jumped by %v", jumps[i])
				}
			}
		})
	}
}

// A stopped camera seals nothing. Five seconds later nothing is called live, though the last frames it sealed take
// three seconds to arrive.
func TestBrowserCallsNothingLiveOfAStoppedCamera(t *testing.T) {
	t.Parallel()
	for _, tt := range screens {
		t.Run(tt.name, func(t *testing.T) {
			c := startCloud(t, remembering)
			front := startTURNFront(t, c)
			p, links := startCameraSims(t, c.URLs()[0], 1)
			var held, stopped, goesOn time.Time
			between := func(line string) {
				switch line {
				case "hold":
					held = time.Now()
					front.hold(t, func(now time.Time) time.Duration { return min(now.Sub(held)/2, 3*time.Second) })
				case "stop":
					eventually(t, "media is held back for three seconds", func() bool {
						return time.Since(held) > 9*time.Second
					})
					halt(t, p)
					stopped = time.Now()
				case "go on":
					eventually(t, "five seconds are over", func() bool { return time.Since(stopped) > 9*time.Second })
					goesOn = time.Now()
					goOn(t, p)
				}
			}

			tt.drive.Steps = []step{
				{"open": links["sim-0"]}, {"wait": "playing", "cards": 1}, {"frames": 20}, {"sample": true},
				{"tell": "hold", "hear": true}, {"tell": "stop", "hear": true}, {"tell": "go on", "hear": true},
				{"wait": "playing", "cards": 1}, {"frames": 20},
			}

			r := tt.drive.run(t, between)
			before, after := 0, 0
			for _, x := range r.Samples {
				if x.live && x.at.Before(stopped) {
					before++
				}
				if x.live && x.at.After(stopped.Add(5*time.Second)) && x.at.Before(goesOn) {
					after++
				}
			}

			if before == 0 || after > 0 {
				t.Errorf("called live %d times before the camera was stopped, and %d times five seconds after that",
					before, after)
			}
		})
	}
}

// A browser that was stopped and goes on shows old pictures out of its own buffers and the system's. It calls none of
// them live.
func TestBrowserThatWasStoppedCallsNoOldPictureLive(t *testing.T) {
	t.Parallel()
	for _, tt := range screens {
		t.Run(tt.name, func(t *testing.T) {
			s := newFilmScene(t)
			tt.drive.Steps = []step{
				{"open": s.url}, {"paste": s.code(t).URI()}, {"wait": "playing", "cards": 1}, {"sample": true},
				{"sampled": 20, "live": true},
				{"stop": 7000}, {"sampled": 20, "live": true},
			}

			r := tt.drive.run(t)
			if late, latest := s.late(r.Samples); late > 0 {
				t.Errorf("%d times of %d a picture was called live too late, by up to %v", late, len(r.Samples), latest)
			}
		})
	}
}

// A browser that does not report which picture of a track it shows must not play one, since nothing could be called
// live. The page draws the pictures instead.
func TestBrowserThatTellsNoTimestampsDraws(t *testing.T) {
	t.Parallel()
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	links := startCameraSim(t, startRelayCommand(t), 1)
	r := drive{Browser: "chromium", Policy: "plain", Untold: true, Steps: []step{
		{"open": links["sim-0"]}, {"wait": "playing", "cards": 1, "live": true}, {"frames": 20},
	}}.run(t)
	r.Cards[0].shows(t, "sim-0", clips[0].Background, "canvas")
}
