// Package netwatch notices that a device has moved to another network: its addresses changed. It asks the system a few times a
// second, which every platform can answer and which costs some microseconds; it never sends a packet.
package netwatch

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Changes tells of each change of this device's addresses until ctx ends; several at once may be told as one.
func Changes(ctx context.Context, every time.Duration) <-chan struct{} {
	return changes(ctx, every, networks)
}

// network is an interface's address. Two home networks often give the same address to a device; the interface is another one then, or it
// was made anew.
type network struct {
	index   int
	address net.IP
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
				all = append(all, network{i.Index, n.IP})
			}
		}
	}
	return all, err
}

func changes(ctx context.Context, every time.Duration, networks func() ([]network, error)) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		look := time.NewTicker(every)
		defer look.Stop()
		before, known := text(networks())
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
			now, ok := text(networks())
			if known && ok && now != before {
				select {
				case out <- struct{}{}:
				default: // it is still to be heard
				}
			}
			if ok {
				before, known = now, true
			}
		}
	}()
	return out
}

// text is the networks in one string, whatever order they come in. A device without any but its own loopback is between
// networks: that is no change yet, the next address is.
func text(networks []network, err error) (joined string, ok bool) {
	var all []string
	for _, n := range networks {
		all = append(all, fmt.Sprint(n.index, n.address))
	}
	slices.Sort(all)
	return strings.Join(all, " "), err == nil && len(all) > 0
}
