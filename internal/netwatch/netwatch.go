// Package netwatch notices that a device has moved to another network: its addresses changed, or it had none for a while. It asks the system a few times a
// second, which every platform can answer and which costs some microseconds; it never sends a packet.
package netwatch

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// lookEvery is how often the system is asked, once for all who want to know in this process.
const lookEvery = 150 * time.Millisecond

// Changes tells of each change of this device's addresses until ctx ends; several at once may be told as one.
func Changes(ctx context.Context) <-chan struct{} { return shared.changes(ctx) }

// shared is the one watcher of this process: a program may run thousands of cameras.
var shared = &watcher{networks: networks}

// watcher asks the system while anybody wants to know.
type watcher struct {
	networks func() ([]network, error)

	mu      sync.Mutex
	wanting map[chan struct{}]struct{} // guarded by mu
	stop    context.CancelFunc         // guarded by mu; ends looking when nobody wants to know any more
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
	before, away := "", false // before: the last networks there were
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
		default: // it is still to be heard
		}
	}
}

// network is an interface's address. Two home networks often give the same address to a device; the interface is another one then, or it
// was made anew.
type network struct {
	index   int
	address net.IP
	running bool // its cable or radio leads somewhere
}

func networks() (all []network, err error) {
	interfaces, err := net.Interfaces()
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 {
			continue // it is going, or coming
		}
		for _, a := range addresses {
			if n, is := a.(*net.IPNet); is && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
				all = append(all, network{i.Index, n.IP, i.Flags&net.FlagRunning != 0})
			}
		}
	}
	return all, err
}

// text is the networks in one string, whatever order they come in; empty where there are none. A device without any but its own loopback, or of which none runs, is between
// networks: that is no change yet, the next is, also the same one: a router that was switched off and on remembers nobody. One that stops running
// beside others is no change: a bridge does so with every container that ends.
func text(networks []network) string {
	var all []string
	for _, n := range networks {
		all = append(all, fmt.Sprint(n.index, n.address))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
