package turn

import (
	"net/netip"
	"slices"
)

// route is what a client has asked for towards one peer: a permission, a channel, or both. pion keeps their lifetimes, and
// tells when one is made and when it ends; not when it is refreshed, since then nothing changes here.
type route struct {
	peer      uint32 // host part of the peer's relayed address, 0: not a relayed address
	channel   uint16 // 0: none
	permitted bool
}

// routes are an allocation's. A slice is replaced, never changed, so that a packet takes no lock.
type routes []route

// to returns the route to a peer, the zero route if there is none.
func (r routes) to(peer uint32) route {
	for i := range r {
		if r[i].peer == peer {
			return r[i]
		}
	}
	return route{}
}

// by returns the route of a channel, and whether there is one.
func (r routes) by(channel uint16) (route, bool) {
	for i := range r {
		if r[i].channel == channel {
			return r[i], true
		}
	}
	return route{}, false
}

// hostOf is the host part of a relayed address, 0 for any other. An IPv4-mapped spelling is another.
func hostOf(ip netip.Addr) uint32 {
	if !ip.Is4() {
		return 0
	}
	b := ip.As4()
	host := (uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])) - relayedBase
	if host >= 1<<(32-relayedBits) {
		return 0
	}
	return host
}

// permit takes note that a permission for a peer began or ended.
func (a *allocation) permit(peer uint32, on bool) {
	a.reroute(func(e *route) bool { return e.peer == peer }, route{peer: peer}, func(e *route) { e.permitted = on })
}

// open takes note of a new channel to a peer.
func (a *allocation) open(peer uint32, channel uint16) {
	a.reroute(func(e *route) bool { return e.peer == peer && e.channel == 0 }, route{peer: peer}, func(e *route) { e.channel = channel })
}

// shut takes note of a channel's end.
func (a *allocation) shut(channel uint16) {
	a.reroute(func(e *route) bool { return e.channel == channel }, route{}, func(e *route) { e.channel = 0 })
}

// reroute changes the entry that is meant, or else a new one, in a copy of the routes. Entries that say nothing are left out.
func (a *allocation) reroute(meant func(*route) bool, fresh route, change func(*route)) {
	a.relay.mu.Lock()
	defer a.relay.mu.Unlock()
	now := append(slices.Clone(a.routed()), fresh)
	i := 0
	for i < len(now)-1 && !meant(&now[i]) {
		i++
	}
	change(&now[i])
	now = slices.Clip(slices.DeleteFunc(now, func(e route) bool { return e.channel == 0 && (e.peer == 0 || !e.permitted) }))
	a.routes.Store(&now)
	if k := a.relay.kernel; k != nil {
		k.refresh(a)
	}
}

func (a *allocation) routed() routes {
	if p := a.routes.Load(); p != nil {
		return *p
	}
	return nil
}
