package viewer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
)

// granted is what one relay has said to a request for ICE servers.
type granted struct {
	serversGranted
	relay *visitedRelay
	err   error
}

// serversGranted are the ICE servers of a session and the relay to which they belong.
type serversGranted struct {
	signaling.Grant
	place session.Place // the relay to which the servers belong
	way   *region.Way   // why that relay was chosen; nil if there was no choice
}

// forEnd returns what the end with these credentials needs.
func (g *serversGranted) forEnd(c signaling.Credentials) *session.TURN {
	return &session.TURN{URLs: g.URLs, Username: c.Username, Credential: c.Credential, Region: g.way}
}

// grant asks all relays that are tried for the ICE servers of a session. The first grant counts. The error is that of
// the first relay that has refused, once nobody is left to ask, or why home could not be asked until ctx ended. It
// calls refused for each relay that does not serve the camera.
func (s *relaySearch) grant(
	ctx context.Context,
	inbox signaling.Mailbox,
	refused func(),
) (serversGranted, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.settleRegions(ctx)
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
					servers, err := s.askOne(ctx, inbox, relay)
					select {
					case answers <- granted{servers, relay, err}:
					case <-ctx.Done():
					}
				})
			}
		}
		if refusal != nil && !s.hopesFor(pending) && !s.goesOn() {
			return serversGranted{}, refusal
		}

		select {
		case a := <-answers:
			if a.err == nil {
				s.watch(a.place)
				return a.serversGranted, nil
			}
			delete(pending, a.relay)
			if unserved(a.err) {
				s.refuse(a.relay)
				refused()
			}
			refusal = cmp.Or(refusal, a.err)
		case <-changed:
		case <-ctx.Done():
			return serversGranted{}, cmp.Or(refusal, relays[0].client.Connect(ctx), ctx.Err())
		}
	}
}

// settleRegions waits for the regions to be measured where home is already connected, before anybody counts how long
// the grant takes.
func (s *relaySearch) settleRegions(ctx context.Context) {
	s.mu.Lock()
	home := s.relays[0]
	reached := !home.reached.IsZero()
	s.mu.Unlock()
	if reached {
		s.turn.legs(ctx, home.Name)
	}
}

// isAway reports whether the relay at a URL was tried and cannot be reached.
func (s *relaySearch) isAway(relayURL string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	relay := s.find(relayURL)
	return relay != nil && relay.isAway()
}

// isAway reports whether a try to reach the relay has failed, or one to reach it again takes too long. relaySearch.mu
// must be held.
func (r *visitedRelay) isAway() bool {
	return r.reached.IsZero() && (r.tries > 0 || r.before && time.Since(r.since) >= backWithin)
}

// askOne asks one relay for the ICE servers of a session, in the region on the shortest way.
func (s *relaySearch) askOne(
	ctx context.Context,
	inbox signaling.Mailbox,
	relay *visitedRelay,
) (serversGranted, error) {
	_ = relay.client.Connect(ctx) // the regions are measured meanwhile; if this fails, Grant returns the error
	way, place := s.turn.choose(ctx, relay.Place, relay.client.RoundTrip, s.isAway)
	elsewhere := ""
	if place.URL != relay.URL {
		elsewhere = place.Name
	}
	grant, err := relay.client.Grant(ctx, inbox, elsewhere)
	if err == nil && grant.Region != elsewhere { // the relay cannot grant there and gave its own servers
		way, place = nil, relay.Place
	}
	return serversGranted{grant, place, way}, err
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

const (
	// startWait is how long after its connection a session may take to show something.
	startWait = 3 * time.Second
	// probeAfter is how long after the answer a session may take to connect before the relay is doubted.
	probeAfter = time.Second
	// doubtFor is how long it takes at most to find out that a relay is gone.
	doubtFor = 2 * time.Second
)

// errRelayLost ends a session whose relay went away before it had started.
var errRelayLost = errors.New("the relay went away before the camera was reached")

// beginning is a session that has shown nothing yet. It ends with errRelayLost if the relay that has granted its ICE
// servers is lost: without those servers, and what the camera still has to say by that relay, it would hope for a path
// in vain.
type beginning struct {
	link     *link
	granter  string          // URL of the relay whose ICE servers were granted; empty if none were
	running  context.Context // of the session
	end      context.CancelCauseFunc
	starting context.Context // ends when the session has started
	started  context.CancelFunc
	watching sync.WaitGroup
}

func (l *link) begin(ctx context.Context) *beginning {
	b := &beginning{link: l, granter: l.granterURL()}
	b.running, b.end = context.WithCancelCause(ctx)
	b.starting, b.started = context.WithCancel(b.running)
	b.watching.Go(func() {
		if l.search.loses(b.starting, b.granter) {
			b.end(errRelayLost)
		}
	})
	return b
}

// stop must be called when the session has ended.
func (b *beginning) stop() {
	b.started()
	b.watching.Wait()
	b.end(nil)
}

// advance notes the session's phase.
func (b *beginning) advance(phase string) {
	switch phase {
	case session.PhaseAnswered:
		time.AfterFunc(probeAfter, func() {
			if b.starting.Err() == nil {
				b.link.probe()
			}
		})
	case session.PhaseConnected: // not every camera has a picture
		time.AfterFunc(startWait, b.started)
	}
}

// explain returns errRelayLost in place of err, with which the session has ended, if that is the reason.
func (b *beginning) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return err
	case errors.Is(context.Cause(b.running), errRelayLost):
		return errRelayLost
	case b.starting.Err() != nil || !errors.Is(err, session.ErrLost):
		return err
	}

	b.link.probe()
	doubting, cancel := context.WithTimeout(ctx, doubtFor)
	defer cancel()
	if b.link.search.loses(doubting, b.granter) {
		return errRelayLost
	}
	return err
}

// watch connects to another region's relay, only so that its loss is noticed at once. It uses TCP, because the
// operating system closes a dead program's TCP connections.
func (s *relaySearch) watch(place session.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(place.URL) != nil {
		return
	}
	relay := &visitedRelay{Place: place, since: time.Now(), watched: true}
	client, err := s.newClient(place, false, func(err error) { s.observe(relay, err) })
	if err != nil {
		return // its loss shows when media stops
	}
	relay.client = client
	s.watched = append(s.watched, relay)
	s.start(relay)
}

// find returns the relay at a URL, nil if this end does not connect to it. s.mu must be held.
func (s *relaySearch) find(relayURL string) *visitedRelay {
	for _, r := range slices.Concat(s.relays, s.watched) {
		if r.URL == relayURL {
			return r
		}
	}
	return nil
}

// loses waits until a connected relay is lost and returns true, or returns false when ctx ends. From then on, sessions
// avoid its region, unless this end itself has ended the connection, to move to another network.
func (s *relaySearch) loses(ctx context.Context, relayURL string) bool {
	s.mu.Lock()
	relay := s.find(relayURL)
	var since time.Time
	if relay != nil {
		since = relay.reached
	}
	s.mu.Unlock()
	if relay == nil {
		return false // this end is not connected to that relay
	}

	for {
		s.mu.Lock()
		lost, moved, changed := relay.isLost(since), relay.moved, s.changed
		if since.IsZero() {
			since = relay.reached
		}
		s.mu.Unlock()
		if lost && ctx.Err() == nil {
			if !moved {
				s.turn.avoid(relayURL)
			}
			return true
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// backWithin is how long a relay that was lost may take to be reached again.
const backWithin = 300 * time.Millisecond

// isLost reports whether the connection that the relay had since a time is lost. One that is only watched may be closed
// by its relay, which owes nothing to who asks for nothing: it is lost if it cannot be reached again soon, or at first.
// relaySearch.mu must be held.
func (r *visitedRelay) isLost(since time.Time) bool {
	if r.watched {
		return r.isAway()
	}
	return r.reached.IsZero() || !since.IsZero() && !r.reached.Equal(since)
}

// despairs waits until every relay has refused to be reached relayTries times and there is none to go on to. It returns
// true then, and false if ctx ends before that.
func (s *relaySearch) despairs(ctx context.Context) bool {
	for {
		s.mu.Lock()
		hope := slices.ContainsFunc(s.relays, func(r *visitedRelay) bool { return r.tries < relayTries })
		changed := s.changed
		s.mu.Unlock()
		if !hope && !s.goesOn() {
			return true
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
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
