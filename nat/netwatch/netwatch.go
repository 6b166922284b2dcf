// Package netwatch notices when a device moves to another network: its addresses change, or it has none for a while. It
// polls the system a few times a second, which works on every platform and costs some microseconds. It never sends a
// packet.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package netwatch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/nat"
)

// lookEvery is how often the system is polled, once for all callers in this process.
const lookEvery = 150 * time.Millisecond

// Changes returns a channel that receives a value after each change of this device's addresses, until ctx ends. Changes
// that follow each other closely may be reported as one.
func Changes(ctx context.Context) <-chan struct{} { return shared.changes(ctx) }

// shared is the one watcher of this process, since a program may run thousands of cameras.
var shared = &watcher{networks: networks}

// watcher polls the system while anybody is waiting for changes.
type watcher struct {
	networks func() ([]network, error)

	mu      sync.Mutex
	wanting map[chan struct{}]struct{} // guarded by mu
	stop    context.CancelFunc         // guarded by mu; ends look
}

func (w *watcher) changes(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)

	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wanting) == 0 {
		var looking context.Context
		looking, w.stop = context.WithCancel(context.Background())
		w.wanting = make(map[chan struct{}]struct{})
		go w.look(looking)
	}

	w.wanting[out] = struct{}{}

	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.wanting, out)
		if len(w.wanting) == 0 {
			w.stop()
		}
	})

	return out
}

func (w *watcher) look(ctx context.Context) {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	before, away := "", false // before is the last state that had any network
	for {
		if all, err := w.networks(); err == nil {
			now, runs := text(all), slices.ContainsFunc(all, func(n network) bool { return n.running })
			if before != "" && now != "" && (away && runs || now != before) {
				w.tell()
			}
			if now != "" {
				before = now
			}
			away = !runs
		}

		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func (w *watcher) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for out := range w.wanting {
		select {
		case out <- struct{}{}:
		default: // the previous one has not been received yet
		}
	}
}

// network is one address of an interface. Two home networks often give a device the same address; then the interface's
// index differs, because it is another interface or was created anew.
type network struct {
	index   int
	address netip.Addr
	running bool // the interface has a carrier
}

func networks() (all []network, err error) {
	addresses, err := nat.DeviceAddresses()
	for _, a := range addresses {
		ip := a.Prefix.Addr()
		if a.Device.Flags&net.FlagUp != 0 && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			all = append(all, network{a.Device.Index, ip, a.Device.Flags&net.FlagRunning != 0})
		}
	}

	return all, err
}

// text returns the networks as one string that does not depend on their order; it is empty if there are none.
//
// A device that has only its loopback, or no running network, is between networks. That is no change yet, but the next
// network is, even the same one: a router that was switched off and on remembers nobody. An interface that stops
// running while others run is no change: a bridge does that whenever its last container ends.
func text(networks []network) string {
	var all []string
	for _, n := range networks {
		all = append(all, fmt.Sprint(n.index, n.address))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
