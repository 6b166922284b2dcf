//go:build linux

package turnload

import (
	"iter"
	"net/netip"
)

// Relayed yields every client's relayed address. Allocate must have returned nil before.
func (l *Load) Relayed() iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for i := range l.clients {
			if !yield(l.clients[i].relayed) {
				return
			}
		}
	}
}
