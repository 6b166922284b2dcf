package viewer

import "context"

// When a relay stops, its connections for signaling end first, and media that goes through it ends soon after, or with
// them. So a session whose media goes through that relay does not wait for the silence: another session begins beside
// it, by another relay, and replaces it with its first frame.

// followRelay follows the relay that has granted an attempt its ICE servers, now that the camera has replied.
func (w *watching) followRelay(ctx context.Context, a *attempt) {
	granter := w.link.granterURL()
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.relay == granter {
		return // this is not the first reply
	}

	a.relay, a.relayLost = granter, false
	w.work.Go(func() {
		if w.link.search.loses(a.running, granter) {
			w.post(ctx, func() { w.loseRelay(ctx, a, granter) })
		}
	})
}

// loseRelay notes that a relay is lost which had granted an attempt its ICE servers.
func (w *watching) loseRelay(ctx context.Context, a *attempt, granter string) {
	w.mu.Lock()
	if a.relay == granter { // and no other has granted it new ones since
		a.relay, a.relayLost = "", true
	}
	w.mu.Unlock()
	w.leaveRelay(ctx, a)
}

// leaveRelay begins another session if the current one is to leave its relay.
func (w *watching) leaveRelay(ctx context.Context, a *attempt) {
	if w.leaves(a) {
		w.beginBeside(ctx)
	}
}

// leaves reports whether an attempt is the current one, its media goes through a relay that is lost, and there is
// another relay. Where there is none, a relay that drains keeps its clients until they leave by themselves.
func (w *watching) leaves(a *attempt) bool {
	w.mu.Lock()
	relayed := a.path != nil && a.path.Kind == "relay"
	lost := a.relayLost
	w.mu.Unlock()
	return a == w.current && relayed && lost && w.link.search.hasOthers()
}
