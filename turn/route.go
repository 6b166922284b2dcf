package turn

import "slices"

// route is what a client has asked for towards a peer: a channel, or a permission. pion keeps their lifetimes, and
// tells when one is made and when it ends; not when it is refreshed, since then nothing changes here.
type route struct {
	peer    uint32 // the peer's host, 0: not a relayed address; of a permission what ipOf is of it
	channel uint16 // 0: a permission
}

// routes are an allocation's. A slice is replaced, never changed, so that a packet takes no lock.
type routes []route

// to returns the channel to a peer, 0 if there is none.
func (r routes) to(peer uint32) uint16 {
	for i := range r {
		if r[i].peer == peer && r[i].channel != 0 {
			return r[i].channel
		}
	}
	return 0
}

// permitted says whether there is a permission for a peer.
func (r routes) permitted(peer uint32) bool {
	return slices.Contains(r, route{peer: ipOf(peer)})
}

// by returns the peer of a channel, and whether there is one.
func (r routes) by(channel uint16) (peer uint32, ok bool) {
	for i := range r {
		if r[i].channel == channel && channel != 0 {
			return r[i].peer, true
		}
	}
	return 0, false
}

// permit takes note that a permission for a peer's IP began or ended.
func (a *allocation) permit(peer uint32, on bool) {
	fresh := route{peer: ipOf(peer)}
	a.reroute(func(e route) bool { return e == fresh }, fresh, on)
}

// open takes note of a new channel to a peer.
func (a *allocation) open(peer uint32, channel uint16) {
	a.reroute(func(e route) bool { return e.channel == channel }, route{peer, channel}, true)
}

// shut takes note of a channel's end.
func (a *allocation) shut(channel uint16) {
	a.reroute(func(e route) bool { return e.channel == channel }, route{}, false)
}

// reroute leaves out what is meant in a copy of the routes, and puts a fresh one in its place or not.
func (a *allocation) reroute(meant func(route) bool, fresh route, on bool) {
	a.relay.mu.Lock()
	defer a.relay.mu.Unlock()
	var now routes
	for _, e := range a.routed() {
		if !meant(e) {
			now = append(now, e)
		}
	}
	if on {
		now = append(now, fresh)
	}
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
