package viewer

import "context"

// When a relay stops, its connections for signaling end first, and the media through it ends then too, or soon after.
// So a session whose media goes through that relay does not wait for the silence: another session begins beside
// it, by another relay, and replaces it with its first frame.

// followRelay watches the relay whose ICE servers an attempt uses. It is called with each sealed reply.
func (w *watching) followRelay(ctx context.Context, a *attempt) {
	granter := w.link.granterURL()
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.relay == granter {
		return // it is watched already
	}

	a.relay, a.relayLost = granter, ""
	w.work.Go(func() {
		if w.link.search.loses(a.running, granter) {
			w.post(ctx, func() { w.loseRelay(ctx, a, granter) })
		}
	})
}

// loseRelay notes that the relay whose ICE servers an attempt uses is lost.
func (w *watching) loseRelay(ctx context.Context, a *attempt, granter string) {
	w.mu.Lock()
	if a.relay == granter { // no other relay has granted new ones since
		a.relay, a.relayLost = "", granter
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
// another relay. Without another the session stays: a relay that drains carries it a while longer.
func (w *watching) leaves(a *attempt) bool {
	w.mu.Lock()
	relayed := a.path != nil && a.path.Kind == "relay"
	lost := a.relayLost
	w.mu.Unlock()
	return a == w.current && relayed && lost != "" && w.link.search.hasOther(lost)
}
