//go:build linux

package e2e

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/viewer"
)

// crowdVariable makes TestEverySessionStartsWhileARegionIsLost the process that starts the sessions, on a host of a
// lab; its value is a crowd.
const crowdVariable = "PEEPHOLE_E2E_CROWD"

// crowd is one device that starts many sessions, one after the other. It waits for none, unless the machine is so slow
// that each camera has two that have not started.
type crowd struct {
	State, Certificates string
	Cameras, Sessions   int
	Every               time.Duration
}

// crowdLine is what a crowd prints of a session: that it begins, and later how it has begun.
type crowdLine struct {
	Session  int
	Begins   bool
	Took     time.Duration // to the first frame of the stream
	Regions  viewer.Regions
	Rejected int
	Again    int    // frames that were shown before
	Err      string // why no frame came; empty: one did
}

// run starts the sessions, and returns once each of them has shown some frames.
func (c crowd) run(t *testing.T) {
	trust, err := signaling.TrustFile(c.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	v, err := viewer.Open(viewer.Config{State: c.State, TLS: trust})
	if err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex
	say := func(l crowdLine) {
		text, _ := json.Marshal(l)
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("crowd %s\n", text)
	}
	var sessions sync.WaitGroup
	turn := time.NewTicker(c.Every)
	defer turn.Stop()
	room := make(chan struct{}, 2*c.Cameras)
	for i := range c.Sessions {
		<-turn.C
		room <- struct{}{}
		say(crowdLine{Session: i, Begins: true})
		sessions.Go(func() {
			defer func() { <-room }()
			l := watchSome(t, v, fmt.Sprintf("sim-%d", i%c.Cameras))
			l.Session = i
			say(l)
		})
	}
	sessions.Wait()
}

// watchSome watches until a few frames of the stream have come.
func watchSome(t *testing.T, v *viewer.Viewer, camera string) (l crowdLine) {
	t.Helper()
	const enough = 5
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	began, frames := time.Now(), 0
	shown := make(map[uint64]bool) // the frames of this session, by their counters
	err := v.Watch(ctx, camera, viewer.Watch{
		OnRegions: func(r viewer.Regions) { l.Regions = r },
		OnReject:  func(viewer.Rejection) { l.Rejected++ },
		OnSession: func() { clear(shown) },
		OnFrame: func(f viewer.Frame) {
			if f.Still {
				return
			}
			if frames++; frames == 1 {
				l.Took = time.Since(began)
			}
			if shown[f.CTR] {
				l.Again++
			}
			if shown[f.CTR] = true; frames >= enough {
				cancel()
			}
		},
	})
	if frames < enough {
		l.Err = cmp.Or(err, errors.New("too few frames")).Error()
	}
	return l
}

// crowdScene is an operator with three regions, and cameras that are at home in the first, with a device that is paired
// with all of them.
type crowdScene struct {
	*scene
	*labRegions
	cameras int
}

func newCrowdScene(t *testing.T, cameras int) *crowdScene {
	t.Helper()
	s := &crowdScene{scene: &scene{lab: natlab.New(t)}, cameras: cameras}
	s.labRegions = newLabRegions(t, s.lab, "a", "b", "c")
	s.networks(natlab.PortRestricted, natlab.PortRestricted)
	s.cast(t, "https://a.lab", s.trust, "camera-sim", "-n", fmt.Sprint(cameras))
	var links []string
	for range cameras {
		_, link, _ := strings.Cut(s.cams.line(t, "pair "), " ")
		links = append(links, link)
	}

	s.cams.await(t, "home=a standby=", cameras)
	for _, link := range links {
		pairing := startBy(t, s.person.Start, "viewer", append(s.flags, "pair", link)...)
		pairing.line(t, "paired ")
		pairing.stop()
	}
	return s
}

// start lets the device start sessions. It calls each with the number of each session that begins, and returns how all
// have begun.
func (s *crowdScene) start(t *testing.T, sessions int, every time.Duration, each func(session int)) []crowdLine {
	t.Helper()
	task, err := json.Marshal(crowd{
		State:        s.flags[1],
		Certificates: s.trust,
		Cameras:      s.cameras,
		Sessions:     sessions,
		Every:        every,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestEverySessionStartsWhileARegionIsLost$")
	cmd.Env = append(os.Environ(), crowdVariable+"="+string(task))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = s.person.Start(cmd)
	}
	if err != nil {
		t.Fatal(err)
	}

	var all []crowdLine
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "crowd ")
		if !ok {
			continue
		}
		var l crowdLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if l.Begins {
			each(l.Session)
		} else {
			all = append(all, l)
		}
	}
	if err := cmd.Wait(); err != nil || len(all) != sessions {
		t.Fatalf("%d of %d sessions ended, %v", len(all), sessions, err)
	}
	slices.SortFunc(all, func(a, b crowdLine) int { return a.Session - b.Session })
	return all
}

// median returns the median of how long some sessions took.
func median(lines []crowdLine) time.Duration {
	var all []time.Duration
	for _, l := range lines {
		all = append(all, l.Took)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// Every session starts, whatever becomes of the region that it wants to start in, and shows each frame once. A region
// that was cut off serves again without anybody's help.
func TestEverySessionStartsWhileARegionIsLost(t *testing.T) {
	if text := os.Getenv(crowdVariable); text != "" {
		var c crowd
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		c.run(t)
		return
	}
	t.Parallel()
	natlab.Need(t)
	const (
		sessions = 100
		cameras  = 10
		every    = 50 * time.Millisecond
	)
	for name, lose := range map[string]func(home *labRegion){
		"killed":  func(home *labRegion) { home.relay.kill() },
		"cut off": func(home *labRegion) { home.host.Network().Down() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newCrowdScene(t, cameras)
			home := s.regions["a"]
			all := s.start(t, sessions, every, func(session int) {
				if session == sessions/2 {
					lose(home)
				}
			})
			for _, l := range all {
				if l.Err != "" || l.Rejected > 0 || l.Again > 0 {
					t.Errorf("%+v", l)
				}
			}
			before, after := median(all[:sessions/2]), median(all[sessions/2:])
			slowest := slices.MaxFunc(all[sessions/2:], func(a, b crowdLine) int { return cmp.Compare(a.Took, b.Took) })
			t.Logf("median of %v before the loss, %v after it, %v at most", before, after, slowest.Took)

			if name == "killed" {
				s.labRegions.start(t, home)
			} else {
				home.host.Network().Up()
			}
			eventually(t, "all cameras are found at home again", func() bool {
				again := s.start(t, cameras, every, func(int) {})
				return !slices.ContainsFunc(again, func(l crowdLine) bool { return l.Regions.Signaling != "a" })
			})
		})
	}
}
