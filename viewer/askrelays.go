package viewer

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// granted is what one relay has said to a request for ICE servers.
type granted struct {
	grant signaling.Grant
	relay *visitedRelay
	err   error
}

// grant asks all relays that are tried for the ICE servers of a session. The first grant counts. The error is that of
// the first relay that has refused, once nobody is left to ask, or why home could not be asked until ctx ended. It
// calls refused for each relay that does not serve the camera.
func (s *relaySearch) grant(
	ctx context.Context,
	inbox signaling.Mailbox,
	refused func(),
) (signaling.Grant, session.Place, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.await()()
	answers := make(chan granted)
	asked, pending := make(map[*visitedRelay]bool), make(map[*visitedRelay]bool)
	var refusal error
	for {
		relays, changed := s.list()
		for _, relay := range relays {
			if !asked[relay] {
				asked[relay], pending[relay] = true, true
				s.work.Go(func() {
					grant, err := relay.client.Grant(ctx, inbox)
					select {
					case answers <- granted{grant, relay, err}:
					case <-ctx.Done():
					}
				})
			}
		}
		if refusal != nil && !s.hopesFor(pending) && !s.goesOn() {
			return signaling.Grant{}, session.Place{}, refusal
		}

		select {
		case a := <-answers:
			if a.err == nil {
				return a.grant, a.relay.Place, nil
			}
			delete(pending, a.relay)
			if unserved(a.err) {
				s.refuse(a.relay)
				refused()
			}
			refusal = cmp.Or(refusal, a.err)
		case <-changed:
		case <-ctx.Done():
			return signaling.Grant{}, session.Place{}, cmp.Or(refusal, relays[0].client.Connect(ctx), ctx.Err())
		}
	}
}

// hopesFor reports whether one of these relays may still answer.
func (s *relaySearch) hopesFor(relays map[*visitedRelay]bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range relays {
		if !r.failed {
			return true
		}
	}
	return false
}

// reached returns the relays that are connected.
func (s *relaySearch) reached() []*visitedRelay {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.relays), func(r *visitedRelay) bool { return r.reached.IsZero() })
}

// reachesAnother notes that the relays that were asked do not serve the camera, and waits until one more is reached. It
// returns false if there is none.
func (s *relaySearch) reachesAnother(ctx context.Context, asked []*visitedRelay) bool {
	s.refuse(asked...)
	defer s.await()()
	ctx, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	for {
		reached, hope, changed := s.unasked()
		switch {
		case reached:
			return true
		case !hope && !s.goesOn():
			return false
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// unasked reports of the relays that have refused nothing whether one is connected, and whether one may soon be. The
// channel is closed when something changes.
func (s *relaySearch) unasked() (reached, hope bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.relays {
		if !r.refused {
			reached = reached || !r.reached.IsZero()
			hope = hope || !r.failed
		}
	}
	return reached, hope, s.changed
}

// offering is the signaling of one session, and tells the search while an offer waits for the camera's reply.
type offering struct {
	*signaling.Carriers
	search *relaySearch

	mu    sync.Mutex
	found func() // guarded by mu; ends the wait for a reply; nil: there is none
}

// Send posts an offer, and then waits for the camera's reply.
func (o *offering) Send(ctx context.Context, mb signaling.Mailbox, body []byte, ttl time.Duration) error {
	o.end(o.search.await())
	return o.Carriers.Send(ctx, mb, body, ttl)
}

// replied notes that the camera has replied, or that nobody waits for it any more.
func (o *offering) replied() { o.end(nil) }

// end ends the wait for a reply, and begins another one, or none.
func (o *offering) end(found func()) {
	o.mu.Lock()
	found, o.found = o.found, found
	o.mu.Unlock()
	if found != nil {
		found()
	}
}
