package viewer

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
	"github.com/peephole-cam/peephole/test/bubble"
)

// placed is a relay of a test: what it is, and after what time it is reached, or is not.
type placed struct {
	name  string
	after time.Duration
	knows bool // the camera
	dead  bool // refuses to be reached
}

// searchAmong returns a search that runs in a bubble. The camera has named the first two relays, home and standby.
func searchAmong(t *testing.T, relays ...placed) *relaySearch {
	t.Helper()
	var places []session.Place
	started := make(map[string]*pipeRelay)
	for _, r := range relays {
		places = append(places, session.Place{Name: r.name, URL: "https://" + r.name + ".example"})
		started[r.name] = startPipeRelay(t, r.knows)
	}
	dial := func(place session.Place, _ bool, observe func(error)) (*signaling.Client, error) {
		r := relays[slices.IndexFunc(places, func(p session.Place) bool { return p == place })]
		reach := started[r.name].dialAfter(r.after, new(atomic.Bool))
		if r.dead {
			reach = func(context.Context) (net.Conn, string, error) { return nil, "", errors.New("connection refused") }
		}
		return signaling.NewClient(signaling.ClientConfig{Dial: reach, OnState: observe})
	}

	signal, named := signaling.Together(), min(2, len(places))
	s, err := newRelaySearch(signal, func() (_, more []session.Place) { return places[:named], places[named:] },
		new(turnRegions), dial)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.run(ctx) }()
	t.Cleanup(func() { signal.Close(); cancel(); <-ended })
	return s
}

// tried returns the names of the relays that have been tried.
func (s *relaySearch) tried() (names []string) {
	relays, _ := s.list()
	for _, r := range relays {
		names = append(names, r.Name)
	}
	return names
}

// A relay that serves nobody now is no reason to wait for another one that cannot be reached.
func TestRefusalDoesNotWaitForDeadRelays(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := searchAmong(t, placed{name: "a"}, placed{name: "b", dead: true}, placed{name: "c", dead: true})
		refused := 0
		began := time.Now()
		_, err := s.grant(t.Context(), aMailbox(t), func() { refused++ })
		if !notAdmitted(err) || refused != 1 {
			t.Errorf("error %v, %d refusals", err, refused)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("after %v", took)
		}
		if got := s.tried(); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("tried %q", got)
		}
	})
}

// The relay that serves the camera grants, however many others do not.
func TestGrantComesFromWhoServes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := searchAmong(t, placed{name: "a"}, placed{name: "b", dead: true}, placed{name: "c", after: time.Second},
			placed{name: "d", after: 2 * time.Second, knows: true}, placed{name: "e", knows: true})
		granted, err := s.grant(t.Context(), aMailbox(t), func() {})
		if err != nil || granted.place.Name != "d" {
			t.Errorf("granted by %q, %v; a, b and c do not serve the camera, and e is one more than may be tried",
				granted.place.Name, err)
		}
	})
}

// What was asked at home only is asked again once the standby is reached, even if that takes long.
func TestDistantStandbyIsAwaited(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		far := placed{name: "b", after: 900 * time.Millisecond, knows: true}
		l := &link{search: searchAmong(t, placed{name: "a"}, far)}
		synctest.Wait()
		refusal := &signaling.Error{Code: signaling.CodeNotAdmitted}
		var asked [][]string
		err := l.eachRelay(t.Context(), func() error {
			defer l.search.await()()
			time.Sleep(500 * time.Millisecond) // the standby is tried meanwhile, and not reached yet
			var names []string
			for _, r := range l.search.reached() {
				names = append(names, r.Name)
			}
			asked = append(asked, names)
			if len(names) < 2 {
				return refusal
			}
			return nil
		})
		if err != nil || len(asked) != 2 {
			t.Errorf("%v after asking %q", err, asked)
		}
	})
}

// A camera that no relay knows is not asked for again and again.
func TestEveryRelayIsAskedOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := &link{search: searchAmong(t, placed{name: "a"}, placed{name: "b"}, placed{name: "c", dead: true})}
		synctest.Wait()
		tries := 0
		err := l.eachRelay(t.Context(), func() error {
			tries++
			return &signaling.Error{Code: signaling.CodeQuota}
		})
		if err == nil || tries != 2 {
			t.Errorf("%d tries, %v; want one at a and one at b", tries, err)
		}
	})
}

// Once the camera has been found, a connection that is lost leads to no other relay, until somebody asks for it again.
func TestFoundCameraIsNotLookedForElsewhere(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := searchAmong(t, placed{name: "a", knows: true}, placed{name: "b", knows: true})
		if granted, err := s.grant(t.Context(), aMailbox(t), func() {}); err != nil || granted.place.Name != "a" {
			t.Fatalf("%q, %v", granted.place.Name, err)
		}

		relays, _ := s.list()
		s.observe(relays[0], errors.New("this device is offline"))
		time.Sleep(time.Minute)
		if got := s.tried(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("tried %q, and nobody asks for the camera", got)
		}
		s.observe(relays[0], errors.New("this device is offline"))
		done := s.await()
		time.Sleep(time.Minute)
		done()
		if got := s.tried(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("tried %q", got)
		}
	})
}

// Two sessions wait for their replies on their own: the end of the one does not end the other's wait.
func TestEachWaitCounts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := searchAmong(t, placed{name: "a", knows: true}, placed{name: "b", knows: true})
		synctest.Wait()
		first, second := s.await(), s.await()
		first()
		time.Sleep(time.Second)
		if got := s.tried(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("tried %q", got)
		}
		second()
	})
}

// A relay that was away for long counts as near until it has answered: its round trip is not the time it was away.
func TestRelayThatComesBackIsNotFar(t *testing.T) {
	now := time.Now()
	client, err := signaling.NewClient(signaling.ClientConfig{URL: "https://a.example"})
	if err != nil {
		t.Fatal(err)
	}
	r := &visitedRelay{client: client, since: now.Add(-time.Hour), reached: now}
	if d := r.roundTrip(); d > reachWait {
		t.Errorf("round trip %v", d)
	}
}

// A session that has shown nothing ends with its relay, and one that has started does not.
func TestSessionBeginsAgainWithoutItsRelay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := searchAmong(t, placed{name: "a", knows: true}, placed{name: "b", knows: true})
		synctest.Wait()
		l := &link{search: s, granter: session.Place{URL: "https://a.example"}}
		relays, _ := s.list()

		b := l.begin(t.Context())
		s.observe(relays[0], errors.New("connection lost"))
		synctest.Wait()
		err := b.explain(t.Context(), context.Canceled)
		if !errors.Is(err, errRelayLost) || err.Error() != "the relay went away before the camera was reached" {
			t.Errorf("a session without its relay ends with %v", err)
		}
		b.stop()

		s.observe(relays[0], nil)
		b = l.begin(t.Context())
		b.started()
		s.observe(relays[0], errors.New("connection lost"))
		synctest.Wait()
		if b.running.Err() != nil {
			t.Error("a session that has started ends with its relay")
		}
		if err := b.explain(t.Context(), session.ErrLost); !errors.Is(err, session.ErrLost) {
			t.Errorf("it ends with %v", err)
		}
		b.stop()
	})
}

// A session whose media goes through a relay that is lost is replaced by another one at once, if there is another
// relay. Media that goes from end to end needs none.
func TestRelayedSessionLeavesARelayThatIsLost(t *testing.T) {
	for name, tt := range map[string]struct {
		path   string
		others []placed
		leaves bool
	}{
		"relayed":        {"relay", []placed{{name: "b", knows: true}}, true},
		"direct":         {"direct", []placed{{name: "b", knows: true}}, false},
		"only one relay": {"relay", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := searchAmong(t, append([]placed{{name: "a", knows: true}}, tt.others...)...)
				synctest.Wait()
				current := &attempt{running: t.Context()}
				w := &watching{
					link:    &link{search: s, granter: session.Place{URL: "https://a.example"}},
					events:  make(chan func(), 16),
					current: current,
					next:    &attempt{cancel: func() {}}, // so that no other begins
				}
				w.followRelay(t.Context(), current)
				w.followRelay(t.Context(), current) // a second reply
				w.reportPath(current, Path{Kind: tt.path})

				relays, _ := s.list()
				s.observe(relays[0], errors.New("connection lost"))
				(<-w.events)()
				synctest.Wait() // a second watcher of the relay would have told it too
				w.shown = current
				w.stall(t.Context(), current, false) // after a moment without anything
				if (w.next != nil) != tt.leaves {
					t.Errorf("the session that is to replace it goes on: %v", w.next != nil)
				}
				if leaves := w.leaves(current); leaves != tt.leaves || len(w.events) > 0 {
					t.Errorf("leaves its relay: %v, %d more events", leaves, len(w.events))
				}
			})
		})
	}
}

// A relay that is lost and reached again has forgotten the session's allocations.
func TestRelayThatCameBackWasLost(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := searchAmong(t, placed{name: "a", knows: true}, placed{name: "b", knows: true})
		synctest.Wait()
		l := &link{search: s, granter: session.Place{URL: "https://a.example"}}
		relays, _ := s.list()
		b := l.begin(t.Context())
		defer b.stop()
		synctest.Wait()
		time.Sleep(time.Second)
		s.observe(relays[0], nil)
		synctest.Wait()
		if !errors.Is(context.Cause(b.running), errRelayLost) {
			t.Errorf("the session goes on: %v", context.Cause(b.running))
		}
	})
}

// A relay that is lost just as it was reached leads to the next one.
func TestReachGoesOnFromARelayThatIsLostAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := searchAmong(t, placed{name: "a", dead: true}, placed{name: "b", after: 2 * time.Second, knows: true})
		relays, _ := s.list()
		s.observe(relays[0], nil)
		s.observe(relays[0], errors.New("connection lost"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.connect(ctx); err != nil {
			t.Errorf("the standby is not reached: %v", err)
		}
	})
}

// watchedRelay returns a search whose session is granted at home, and a relay that it only watches, once that is
// connected or not. It has the state that a test gives it, with no client behind.
func watchedRelay(t *testing.T) (*relaySearch, *visitedRelay) {
	t.Helper()
	s := searchAmong(t, placed{name: "a", knows: true}, placed{name: "b"}, placed{name: "c", after: time.Hour})
	if _, err := s.grant(t.Context(), aMailbox(t), func() {}); err != nil {
		t.Fatal(err)
	}
	s.watch(session.Place{Name: "c", URL: "https://c.example"})
	s.watch(session.Place{Name: "a", URL: "https://a.example"})
	if len(s.watched) != 1 {
		t.Fatalf("%d relays are watched, and home is connected anyway", len(s.watched))
	}
	return s, s.watched[0]
}

// loseNow returns whether the search finds a relay lost within a second.
func loseNow(t *testing.T, s *relaySearch, url string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return s.loses(ctx, url)
}

// A relay that is only watched may close the connection of who asks it for nothing. It is lost if it cannot be
// reached again, or at first.
func TestWatchedRelayIsLostWhenItCannotBeReached(t *testing.T) {
	const url = "https://c.example"
	gone := errors.New("the connection is gone")
	for name, tt := range map[string]struct {
		states []error
		lost   bool
	}{
		"while it is dialed":       {nil, false},
		"not reached":              {[]error{gone}, true},
		"connected":                {[]error{nil}, false},
		"closed, and not back":     {[]error{nil, gone}, true},
		"closed and reached again": {[]error{nil, gone, nil}, false},
		"closed and not reached":   {[]error{nil, gone, gone}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, relay := watchedRelay(t)
				for _, err := range tt.states {
					s.observe(relay, err)
				}
				if got := loseNow(t, s, url); got != tt.lost || s.isAway(url) != tt.lost {
					t.Errorf("lost: %v, away: %v", got, s.isAway(url))
				}
			})
		})
	}
}

// What was watched and is tried as a place of the camera, too, stays the relay that it was: it is not lost thereby.
func TestWatchedRelayMayBeTriedToo(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, relay := watchedRelay(t)
		s.observe(relay, nil)
		lost := make(chan bool, 1)
		go func() { lost <- loseNow(t, s, "https://c.example") }()
		synctest.Wait()
		s.change(func() { _ = s.add(session.Place{Name: "c", URL: "https://c.example"}) })
		if <-lost {
			t.Error("it is lost")
		}
	})
}

// A region is avoided because its relay was lost, and not because this device has moved.
func TestMovedDeviceAvoidsNoRegion(t *testing.T) {
	for moved, want := range map[bool]bool{false: true, true: false} {
		bubble.Test(t, func(t *testing.T) {
			s, _ := watchedRelay(t)
			s.turn.known = func() ([]region.Leg, []region.Region) {
				return []region.Leg{{Name: "a", RoundTrip: 1}, {Name: "b", RoundTrip: 1}},
					[]region.Region{{Name: "a", URL: "https://a.example"}, {Name: "b", URL: "https://b.example"}}
			}
			s.change(func() { s.relays[0].moved = moved })
			go s.observe(s.relays[0], errors.New("gone"))
			if !loseNow(t, s, "https://a.example") {
				t.Error("it is not lost")
			}
			if got := s.turn.isAvoided("a"); got != want {
				t.Errorf("moved %v: avoided %v", moved, got)
			}
		})
	}
}
