package viewer

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling/region"
	"github.com/peephole-cam/peephole/turn"
)

// ways are regions, each with a STUN server on the loopback network.
type ways struct {
	*turnRegions
	servers map[string]net.PacketConn
	regions []region.Region
	camera  []region.Leg
	away    string // URL of a relay that cannot be reached
}

// waysOf returns regions to which the camera has these round trips, in milliseconds. The silent ones never answer.
func waysOf(t *testing.T, legs map[string]int, silent ...string) *ways {
	t.Helper()
	w := &ways{servers: make(map[string]net.PacketConn)}
	var answering sync.WaitGroup
	for name, ms := range legs {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.servers[name] = conn
		w.regions = append(w.regions, region.Region{Name: name, URL: "https://" + name + ".example",
			TURN: conn.LocalAddr().String()})
		w.camera = append(w.camera, region.Leg{Name: name, RoundTrip: ms})
		if !slices.Contains(silent, name) {
			answering.Go(func() { turn.AnswerBindings(conn) })
		}
	}

	w.turnRegions = &turnRegions{known: func() ([]region.Leg, []region.Region) { return w.camera, w.regions }}
	ctx, cancel := context.WithCancel(t.Context())
	w.start(ctx)
	t.Cleanup(func() {
		cancel()
		w.work.Wait()
		for _, conn := range w.servers {
			_ = conn.Close()
		}
		answering.Wait()
	})
	return w
}

// chosen returns the region that is chosen if the relay in region home grants; "" if none is.
func (w *ways) chosen(t *testing.T, roundTrip time.Duration) string {
	t.Helper()
	home := session.Place{Name: "home", URL: "https://home.example"}
	way, place := w.choose(t.Context(), home, func() time.Duration { return roundTrip },
		func(url string) bool { return url == w.away })
	switch {
	case way == nil && place == home:
		return ""
	case way == nil || place.Name != way.Name || place.URL != "https://"+way.Name+".example":
		t.Fatalf("way %+v, place %+v", way, place)
	}
	return way.Name
}

// patience is how long a busy machine may take.
const patience = 30 * time.Second

// chooses waits until a region is chosen: a busy machine may answer late.
func (w *ways) chooses(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(patience); w.chosen(t, time.Second) != want; {
		if time.Now().After(deadline) {
			t.Fatalf("%q is chosen, want %q", w.chosen(t, time.Second), want)
		}
		w.forget()
	}
}

// neverChooses has a region measured anew several times, which is not chosen though it answers.
func (w *ways) neverChooses(t *testing.T, name string) {
	t.Helper()
	for range 10 {
		w.forget()
		if w.chosen(t, time.Second) == name {
			t.Fatalf("%q is chosen", name)
		}
	}
}

func TestTURNRegionIsChosen(t *testing.T) {
	t.Parallel()
	t.Run("by both legs", func(t *testing.T) {
		t.Parallel()
		waysOf(t, map[string]int{"home": 5000, "a": 9000, "b": 1}).chooses(t, "b")
	})

	t.Run("without one that does not answer", func(t *testing.T) {
		t.Parallel()
		w := waysOf(t, map[string]int{"home": 5000, "a": 3000, "b": 1}, "b")
		w.chooses(t, "a")
	})

	t.Run("with the relay in place of a home that does not answer", func(t *testing.T) {
		t.Parallel()
		waysOf(t, map[string]int{"home": 1, "a": 9000}, "home").chooses(t, "home")
	})

	t.Run("with home if nobody knows how far it is", func(t *testing.T) {
		t.Parallel()
		w := waysOf(t, map[string]int{"home": 9000, "a": 1}, "home")
		if got := w.chosen(t, 0); got != "" {
			t.Errorf("%q is chosen", got)
		}
	})

	t.Run("nowhere if nothing answers", func(t *testing.T) {
		t.Parallel()
		w := waysOf(t, map[string]int{"home": 1, "a": 9000}, "home", "a")
		began := time.Now()
		if got := w.chosen(t, time.Millisecond); got != "" {
			t.Errorf("%q is chosen", got)
		}
		if waited := time.Since(began); waited < probeWait/2 {
			t.Errorf("gave up after %v, while answers might still come", waited)
		}
	})

	t.Run("nowhere if there is no choice", func(t *testing.T) {
		t.Parallel()
		if got := waysOf(t, map[string]int{"a": 1}).chosen(t, time.Millisecond); got != "" {
			t.Errorf("%q is chosen", got)
		}
		if got := new(turnRegions); got.probe() != nil {
			t.Error("a link to no camera measures")
		}
	})
}

// A region whose relay was lost is not chosen again soon, whether it answers or not.
func TestLostRegionIsAvoided(t *testing.T) {
	t.Parallel()
	w := waysOf(t, map[string]int{"home": 5000, "a": 1, "b": 9000})
	w.chooses(t, "a")
	w.avoid("https://unknown.example")
	w.chooses(t, "a")
	w.avoid("https://a.example")
	w.chooses(t, "home")
	w.neverChooses(t, "a")
	w.avoid("https://home.example") // which can grant, and so is not left out
	w.chooses(t, "home")

	w.mu.Lock()
	w.avoided["a"] = time.Now().Add(-time.Second) // as if it were long ago
	w.mu.Unlock()
	w.chooses(t, "a")
	w.away = "https://a.example"
	w.chooses(t, "home")
	w.neverChooses(t, "a")
}

// Sessions that begin at about the same time share a probe; after a move to another network, a new one begins.
func TestRegionsAreProbedAnew(t *testing.T) {
	t.Parallel()
	w := waysOf(t, map[string]int{"home": 1, "a": 1})
	first := w.probe()
	if w.probe() != first {
		t.Error("probed anew at once")
	}
	w.mu.Lock()
	w.last.began = time.Now().Add(-probeLife)
	w.mu.Unlock()
	second := w.probe()
	w.forget()
	if third := w.probe(); second == first || third == second {
		t.Error("old figures are used")
	}
}
