// Package netwatch notices when a device moves to another network: its addresses change, or it has none for a while. On
// Linux it sleeps until the kernel reports a change. Elsewhere it polls the system a few times a second, which wakes an
// idle processor each time. It never sends a packet.
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

// lookEvery is how often the system is polled where it does not report changes, once for all callers in this process.
const lookEvery = 150 * time.Millisecond

// Changes returns a channel that receives a value after each change of this device's addresses, until ctx ends. Changes
// that follow each other closely may be reported as one.
func Changes(ctx context.Context) <-chan struct{} { return shared.changes(ctx) }

// shared is the one watcher of this process, since a program may run thousands of cameras.
var shared = &watcher{networks: networks, listen: listen}

// watcher watches the system while anybody is waiting for changes.
type watcher struct {
	networks func() ([]network, error)

	// listen calls look once, and then after each change that the system reports, until ctx ends. If look returns
	// false, listen calls it again after a while. It returns an error if the system must be polled instead.
	listen func(ctx context.Context, look func() bool) error

	mu      sync.Mutex
	wanting map[chan struct{}]struct{} // guarded by mu
	stop    context.CancelFunc         // guarded by mu; ends watch
}

func (w *watcher) changes(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)

	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wanting) == 0 {
		var watching context.Context
		watching, w.stop = context.WithCancel(context.Background())
		w.wanting = make(map[chan struct{}]struct{})
		go w.watch(watching)
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

// watch reports changes until ctx ends.
func (w *watcher) watch(ctx context.Context) {
	var last state
	look := func() (ok bool) {
		all, err := w.networks()
		if err == nil && last.changes(all) {
			w.tell()
		}
		return err == nil
	}
	if err := w.listen(ctx, look); err != nil {
		poll(ctx, look)
	}
}

// poll calls look every so often until ctx ends.
func poll(ctx context.Context, look func() bool) {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for {
		look()
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// state is how the networks were when they were last looked at.
type state struct {
	before string // the last networks that there were; empty before the first ones
	away   bool   // none of them runs
}

// changes notes how the networks are now, and reports whether that is a change.
func (s *state) changes(all []network) bool {
	now, runs := text(all), slices.ContainsFunc(all, func(n network) bool { return n.running })
	changed := s.before != "" && now != "" && (s.away && runs || now != s.before)
	if now != "" {
		s.before = now
	}
	s.away = !runs
	return changed
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
