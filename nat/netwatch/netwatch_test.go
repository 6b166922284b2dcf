package netwatch

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// The ways to learn that the networks may have changed.
type listener func(ctx context.Context, look func() bool) error

// mute is a system that reports nothing, and must be polled.
func mute(context.Context, func() bool) error { return errors.ErrUnsupported }

// reporting is a system that reports changes on a channel.
func reporting(changes <-chan struct{}) listener {
	return func(ctx context.Context, look func() bool) error {
		for {
			look()
			select {
			case <-changes:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// TestEachMoveIsReportedOnce: so is the return from having no network. Losing the network, an error, and the same
// addresses in another order are no changes.
func TestEachMoveIsReportedOnce(t *testing.T) {
	t.Run("polled", func(t *testing.T) { moves(t, func(<-chan struct{}) listener { return mute }) })
	t.Run("reported", func(t *testing.T) { moves(t, reporting) })
}

// moves lets a device move from one set of networks to another, on a system that may report changes on a channel.
func moves(t *testing.T, system func(changes <-chan struct{}) listener) {
	home := network{2, netip.MustParseAddr("192.0.2.1"), true}
	other := network{3, netip.MustParseAddr("198.51.100.7"), true}
	again := network{4, netip.MustParseAddr("192.0.2.1"), true}
	dead := func(n network) network { n.running = false; return n }
	steps := []struct {
		name     string
		networks []network
		err      error
		told     bool
	}{
		{"at home", []network{home, other}, nil, false},
		{"in another order", []network{other, home}, nil, false},
		{"an error", nil, errors.New("no"), false},
		{"no network", nil, nil, false},
		{"home again", []network{home, other}, nil, true},
		{"still at home", []network{home, other}, nil, false},
		{"a bridge without a port", []network{home, dead(other)}, nil, false},
		{"with one", []network{home, other}, nil, false},
		{"no cable", []network{dead(home), dead(other)}, nil, false},
		{"an error without a cable", nil, errors.New("no"), false},
		{"a cable", []network{home, dead(other)}, nil, true},
		{"another", []network{home, other}, nil, false},
		{"one less", []network{home}, nil, true},
		{"still", []network{home}, nil, false},
		{"elsewhere", []network{other}, nil, true},
		{"at another home with the same address", []network{again}, nil, true},
	}

	bubble.Test(t, func(t *testing.T) {
		var now atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		networks := func() ([]network, error) { return steps[now.Load()].networks, steps[now.Load()].err }
		changes := make(chan struct{}, len(steps)) // a system that is polled reads none of them
		w := &watcher{networks: networks, listen: system(changes)}
		told, beside := w.changes(ctx), w.changes(ctx)
		synctest.Wait()
		all := 0

		for i, s := range steps {
			now.Store(int64(i))
			changes <- struct{}{}
			time.Sleep(lookEvery + lookEvery/10) // of the bubble's own time
			synctest.Wait()
			select {
			case <-beside:
				all++
			default:
			}

			select {
			case <-told:
				if !s.told {
					t.Errorf("%s: a change was reported", s.name)
				}
			default:
				if s.told {
					t.Errorf("%s: no change was reported", s.name)
				}
			}
		}

		if all != 5 {
			t.Errorf("the other channel received %d changes, want 5", all)
		}
	})
}

// TestQuietSystemIsNotPolled: each poll would wake an idle device.
func TestQuietSystemIsNotPolled(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		networks := func() ([]network, error) { asked.Add(1); return nil, nil }
		w := &watcher{networks: networks, listen: reporting(nil)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 3 {
			w.changes(ctx)
		}

		time.Sleep(time.Hour)
		if n := asked.Load(); n != 1 {
			t.Errorf("the system was asked %d times within an hour without a change", n)
		}
	})
}

// TestNetworksAreSteadyWithoutLoopback: polling twice returns the same networks, and the loopback is not among them.
func TestNetworksAreSteadyWithoutLoopback(t *testing.T) {
	first, err1 := networks()
	second, err2 := networks()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if a, b := text(first), text(second); a != b || strings.Contains(a, "127.0.0.1") {
		t.Errorf("%q, then %q", a, b)
	}
}
