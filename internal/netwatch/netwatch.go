// Package netwatch notices that a device has moved to another network: its addresses changed. It asks the system a few times a
// second, which every platform can answer and which costs some microseconds; it never sends a packet.
package netwatch

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"
)

// Changes tells of each change of this device's addresses until ctx ends; several at once may be told as one.
func Changes(ctx context.Context, every time.Duration) <-chan struct{} {
	return changes(ctx, every, net.InterfaceAddrs)
}

func changes(ctx context.Context, every time.Duration, addresses func() ([]net.Addr, error)) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		look := time.NewTicker(every)
		defer look.Stop()
		before, known := text(addresses())
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
			now, ok := text(addresses())
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

// text is the addresses in one string, whatever order they come in. A device without any but its own loopback is between
// networks: that is no change yet, the next address is.
func text(addresses []net.Addr, err error) (joined string, ok bool) {
	var all []string
	for _, a := range addresses {
		if n, is := a.(*net.IPNet); is && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			all = append(all, a.String())
		}
	}
	slices.Sort(all)
	return strings.Join(all, " "), err == nil && len(all) > 0
}
