package camera

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/test/bubble"
)

// Each watching is served by the session that was offered last, in whatever order the sessions' goroutines run.
func TestLastOfferIsServed(t *testing.T) {
	id := session.NewWatchID()
	for _, tt := range []struct {
		name   string
		come   []uint64 // places of the offers
		live   uint64   // the one that becomes live before the last offer comes; 0: none
		served []uint64 // in the end
	}{
		{"in order", []uint64{1, 2, 3}, 0, []uint64{3}},
		{"the last first", []uint64{3, 1, 2}, 0, []uint64{3}},
		{"the last between", []uint64{1, 3, 2}, 0, []uint64{3}},
		{"one that is live waits for the next to be", []uint64{1, 2}, 1, []uint64{1, 2}},
		{"one that is live ends those before it", []uint64{1, 2, 3}, 2, []uint64{2, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := new(viewer)
			joined, ended := make(map[uint64]*serving), make(map[uint64]bool)
			for i, place := range tt.come {
				if s := joined[tt.live]; i == len(tt.come)-1 && s != nil {
					v.markLive(id, s)
				}
				one := &serving{place: place, cancel: func() { ended[place] = true }}
				if _, ok := v.join(id, one); ok {
					joined[place] = one
				}
			}

			served := slices.DeleteFunc(slices.Sorted(maps.Keys(joined)), func(place uint64) bool {
				return ended[place]
			})
			if !slices.Equal(served, tt.served) {
				t.Errorf("served %v, want %v", served, tt.served)
			}
		})
	}

	v, ended := new(viewer), false
	if _, ok := v.join(id, &serving{place: 2, cancel: func() { ended = true }}); !ok {
		t.Error("the first offer is not served")
	}
	if _, ok := v.join(session.NewWatchID(), &serving{place: 1}); !ok || ended {
		t.Error("an offer of another watching is not served")
	}

	if _, ok := v.join(session.WatchID{}, &serving{place: 1}); !ok {
		t.Error("an offer that names no watching is not served")
	}
}

// An offer waits for room as long as a session takes to close, and no longer.
func TestOfferWaitsForASessionThatCloses(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := &viewer{sessions: make(chan struct{}, 1)}
		release, ok := acquireRoom(t.Context(), v.sessions)
		if !ok {
			t.Fatal("no room, although there is no session")
		}
		began := time.Now()
		if _, ok := acquireRoom(t.Context(), v.sessions); ok || time.Since(began) != roomWait {
			t.Errorf("room beside a session: %v after %v, want none after %v", ok, time.Since(began), roomWait)
		}

		time.AfterFunc(roomWait/2, release)
		if _, ok := acquireRoom(t.Context(), v.sessions); !ok {
			t.Error("no room after a session has ended")
		}

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := acquireRoom(gone, v.sessions); ok {
			t.Error("room for a cancelled offer, although a session stays")
		}
	})
}

// A viewer can fetch two things at once. A third one waits for a second and is then refused; a picture has room beside
// them.
func TestFetchesOfAViewerAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := &viewer{sessions: make(chan struct{}, sessionsPerViewer), fetches: make(chan struct{}, fetchesPerViewer)}
		first, why := v.admit(t.Context(), true)
		if _, second := v.admit(t.Context(), true); why != nil || second != nil {
			t.Fatalf("two fetches: %v, %v", why, second)
		}
		const text = "You are fetching too many things from this camera. Wait for one of them and try again."
		if _, why := v.admit(t.Context(), true); why == nil || why.Code != "busy" || why.Text != text {
			t.Errorf("a third: %v", why)
		}

		if _, why := v.admit(t.Context(), false); why != nil || len(v.sessions) != 3 {
			t.Errorf("a picture beside them: %v, %d sessions", why, len(v.sessions))
		}
		first()
		if _, why := v.admit(t.Context(), true); why != nil {
			t.Errorf("after one has ended: %v", why)
		}
	})
}
