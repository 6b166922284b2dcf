package turn

import "slices"

// route is what a client has asked for towards a peer: a channel or a permission. pion keeps their lifetimes, and calls
// us when one is made and when it ends, but not when it is refreshed, since then nothing changes here.
type route struct {
	peer    uint32 // the peer's host, 0 for one without a relayed address; for a permission, ipOf it
	channel uint16 // 0: a permission
}

// routes are those of one allocation. A slice is replaced, never changed, so that a packet takes no lock.
type routes []route

// channelTo returns the channel to a peer, 0 if there is none.
func (r routes) channelTo(peer uint32) uint16 {
	for i := range r {
		if r[i].peer == peer && r[i].channel != 0 {
			return r[i].channel
		}
	}
	return 0
}

// permits reports whether there is a permission for a peer.
func (r routes) permits(peer uint32) bool {
	return slices.Contains(r, route{peer: ipOf(peer)})
}

// peerOf returns the peer of a channel, and whether there is one.
func (r routes) peerOf(channel uint16) (peer uint32, ok bool) {
	for i := range r {
		if r[i].channel == channel && channel != 0 {
			return r[i].peer, true
		}
	}
	return 0, false
}

// setPermission notes that a permission for a peer's IP began or ended.
func (a *allocation) setPermission(peer uint32, on bool) {
	permission := route{peer: ipOf(peer)}
	is := func(e route) bool { return e == permission }
	if on {
		a.replaceRoutes(is, permission)
	} else {
		a.replaceRoutes(is)
	}
}

// addChannel notes a new channel to a peer.
func (a *allocation) addChannel(peer uint32, channel uint16) {
	a.replaceRoutes(func(e route) bool { return e.channel == channel }, route{peer, channel})
}

// removeChannel notes a channel's end.
func (a *allocation) removeChannel(channel uint16) {
	a.replaceRoutes(func(e route) bool { return e.channel == channel })
}

// replaceRoutes removes the routes for which old is true, and adds new ones.
func (a *allocation) replaceRoutes(old func(route) bool, added ...route) {
	a.relay.mu.Lock()
	defer a.relay.mu.Unlock()

	var now routes
	for _, e := range a.currentRoutes() {
		if !old(e) {
			now = append(now, e)
		}
	}
	now = append(now, added...)
	a.routes.Store(&now)

	if k := a.relay.kernel; k != nil {
		k.refresh(a)
	}
}

func (a *allocation) currentRoutes() routes {
	if p := a.routes.Load(); p != nil {
		return *p
	}
	return nil
}
