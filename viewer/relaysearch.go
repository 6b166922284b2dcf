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
)

const (
	// reachWait is how long a relay may take to be reached before the camera is looked for at the next one, too.
	reachWait = 500 * time.Millisecond
	// replyGrace is how much longer than the round trip a reply may take before that.
	replyGrace = 250 * time.Millisecond
	// maxMoreRelays is how many relays are tried that the camera has not named.
	maxMoreRelays = 2
)

// relaySearch looks for a camera at one relay after the other, until it replies (doc/protocol.md, section 5.10).
type relaySearch struct {
	newClient func(place session.Place, observe func(error)) (*signaling.Client, error)
	signal    *signaling.Carriers
	known     func() (named, more []session.Place) // where the camera may be, in the order in which to try

	mu      sync.Mutex
	relays  []*visitedRelay // guarded by mu; home first; all stay connected
	more    int             // guarded by mu; how many of them the camera has not named
	waits   time.Time       // guarded by mu; since when a grant or a sealed reply is awaited; zero: none is
	changed chan struct{}   // guarded by mu; closed when something changes
	work    sync.WaitGroup
	running context.Context // set by run
}

// visitedRelay is one of the relays where a camera is looked for.
type visitedRelay struct {
	session.Place
	client  *signaling.Client
	since   time.Time // when it was tried first
	reached time.Time // zero while it is not connected
	failed  bool      // the last try to connect has failed
	refused bool      // it has refused to serve the camera
}

// newRelaySearch returns a search that begins at home. run dials it, and the others where needed.
func newRelaySearch(
	signal *signaling.Carriers,
	known func() (named, more []session.Place),
	newClient func(session.Place, func(error)) (*signaling.Client, error),
) (*relaySearch, error) {
	s := &relaySearch{newClient: newClient, signal: signal, known: known, changed: make(chan struct{})}
	named, _ := known()
	return s, s.add(named[0])
}

// add makes a client of one more relay. s.mu must be held, except before run.
func (s *relaySearch) add(place session.Place) error {
	relay := &visitedRelay{Place: place, since: time.Now()}
	var err error
	relay.client, err = s.newClient(place, func(err error) { s.observe(relay, err) })
	if err != nil {
		return err
	}
	s.relays = append(s.relays, relay)
	s.signal.Add(signaling.Carrier{Name: place.URL, Client: relay.client})
	if s.running != nil {
		s.start(relay)
	}
	return nil
}

func (s *relaySearch) start(relay *visitedRelay) {
	s.work.Go(func() { _ = relay.client.Run(s.running) }) // returns running's error and no other
}

// run dials home, and searches until ctx ends.
func (s *relaySearch) run(ctx context.Context) {
	defer s.work.Wait()
	s.mu.Lock()
	s.running = ctx
	s.relays[0].since = time.Now()
	s.start(s.relays[0])
	s.mu.Unlock()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.mu.Lock()
		timer.Reset(s.step(time.Now()))
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
	}
}

// step goes on to the next relay if that is due, and returns how long to wait for the next step. s.mu must be held.
func (s *relaySearch) step(now time.Time) time.Duration {
	const forever = 1 << 62
	for {
		due := s.due()
		if due.IsZero() {
			return forever
		}
		if now.Before(due) {
			return due.Sub(now)
		}
		place, ok := s.next()
		if !ok || s.add(place) != nil {
			return forever
		}
	}
}

// due returns when to go on to the next relay; zero: not at all for now. s.mu must be held.
func (s *relaySearch) due() time.Time {
	last := s.relays[len(s.relays)-1]
	switch {
	case s.waits.IsZero() && s.anyReached():
		return time.Time{} // the camera has been found, or nobody asks for it yet
	case last.failed, last.refused:
		return last.since
	case last.reached.IsZero():
		return last.since.Add(reachWait)
	}
	since := s.waits
	if last.reached.After(since) {
		since = last.reached
	}
	return since.Add(last.roundTrip() + time.Duration(last.RoundTrip)*time.Millisecond + replyGrace)
}

// roundTrip returns the round trip from here to the relay. Until the relay has answered something, that is at most half
// of the time in which it was reached. s.mu must be held.
func (r *visitedRelay) roundTrip() time.Duration {
	if d := r.client.RoundTrip(); d > 0 {
		return d
	}
	return r.reached.Sub(r.since) / 2
}

// next returns the next relay to try. s.mu must be held.
func (s *relaySearch) next() (session.Place, bool) {
	named, more := s.known()
	untried := func(place session.Place) bool {
		return !slices.ContainsFunc(s.relays, func(r *visitedRelay) bool { return r.URL == place.URL })
	}
	if i := slices.IndexFunc(named, untried); i >= 0 {
		return named[i], true
	}
	i := slices.IndexFunc(more, untried)
	if i < 0 || s.more >= maxMoreRelays {
		return session.Place{}, false
	}
	s.more++
	return more[i], true
}

// goesOn reports whether there is another relay to try.
func (s *relaySearch) goesOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := s.more
	_, ok := s.next()
	s.more = more
	return ok
}

// anyReached reports whether a relay is connected. s.mu must be held.
func (s *relaySearch) anyReached() bool {
	return slices.ContainsFunc(s.relays, func(r *visitedRelay) bool { return !r.reached.IsZero() })
}

// isReached reports whether a relay is connected.
func (s *relaySearch) isReached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.anyReached()
}

// change changes the search, and makes it think again.
func (s *relaySearch) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// observe follows the state of a relay's connection.
func (s *relaySearch) observe(relay *visitedRelay, err error) {
	s.change(func() {
		relay.reached, relay.failed = time.Time{}, err != nil
		if err == nil {
			relay.reached = time.Now()
		}
	})
}

// await notes that a grant or a reply is awaited from now on.
func (s *relaySearch) await() { s.change(func() { s.waits = time.Now() }) }

// found notes that nothing is awaited any more.
func (s *relaySearch) found() { s.change(func() { s.waits = time.Time{} }) }

// refuse notes how a relay has answered a request. If it does not serve the camera now, the next one may.
func (s *relaySearch) refuse(relay *visitedRelay, err error) {
	if unserved(err) {
		s.change(func() { relay.refused = true })
	}
}

// unserved reports whether a relay has refused a request that another one may accept.
func unserved(err error) bool {
	var refusal *signaling.Error
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Code {
	case signaling.CodeNotAdmitted, signaling.CodeQuota, signaling.CodeClosing:
		return true
	}
	return false
}

// list returns the relays that are tried now, home first, and a channel that is closed when something changes.
func (s *relaySearch) list() (relays []*visitedRelay, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.relays), s.changed
}

// clients returns the clients of the relays that are tried now.
func (s *relaySearch) clients() (clients []*signaling.Client) {
	relays, _ := s.list()
	for _, r := range relays {
		clients = append(clients, r.client)
	}
	return clients
}

// connect waits until one of the relays is reached. When ctx ends first, the error says why home was not.
func (s *relaySearch) connect(ctx context.Context) error {
	for {
		s.mu.Lock()
		reached, home, changed := s.anyReached(), s.relays[0].client, s.changed
		s.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return home.Connect(ctx)
		}
	}
}

// serverTime returns the time of the first of the relays that has been reached.
func (s *relaySearch) serverTime() (now time.Time, known bool) {
	for _, client := range s.clients() {
		if now, known = client.ServerTime(); known {
			return now, true
		}
	}
	return time.Time{}, false
}

// granted is what one relay has said to a request for ICE servers.
type granted struct {
	grant signaling.Grant
	relay *visitedRelay
	err   error
}

// grant asks all relays that are tried for the ICE servers of a session. The first grant counts. The error is that of
// the first relay that has refused, once no other is left to ask, or why home could not be asked until ctx ended.
func (s *relaySearch) grant(ctx context.Context, inbox signaling.Mailbox) (signaling.Grant, session.Place, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.await()
	defer s.found()
	answers := make(chan granted)
	asked := make(map[*visitedRelay]bool)
	var refusal error
	for pending := 0; ; {
		relays, changed := s.list()
		for _, relay := range relays {
			if !asked[relay] {
				asked[relay] = true
				pending++
				s.work.Go(func() {
					grant, err := relay.client.Grant(ctx, inbox)
					select {
					case answers <- granted{grant, relay, err}:
					case <-ctx.Done():
					}
				})
			}
		}
		if pending == 0 && refusal != nil && !s.goesOn() {
			return signaling.Grant{}, session.Place{}, refusal
		}

		select {
		case a := <-answers:
			if a.err == nil {
				return a.grant, a.relay.Place, nil
			}
			pending--
			refusal = cmp.Or(refusal, a.err)
			s.refuse(a.relay, a.err)
		case <-changed:
		case <-ctx.Done():
			if refusal == nil {
				_, refusal = relays[0].client.Grant(ctx, inbox)
			}
			return signaling.Grant{}, session.Place{}, refusal
		}
	}
}

// reachesAnother notes that a relay does not serve the camera, and waits until another one has been reached. It returns
// false if there is none to try.
func (s *relaySearch) reachesAnother(ctx context.Context, refusal error) bool {
	relays, _ := s.list()
	last := relays[len(relays)-1]
	if !s.goesOn() {
		return false
	}
	s.refuse(last, refusal)
	s.await()
	defer s.found()

	ctx, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	for {
		relays, changed := s.list()
		for _, r := range relays[slices.Index(relays, last)+1:] {
			if r.client.Connected() {
				return true
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// offering is the signaling of a session, and tells the search when the offer is posted.
type offering struct {
	*signaling.Carriers
	search *relaySearch
}

// Send posts the offer, and then waits for the camera's reply.
func (o offering) Send(ctx context.Context, mb signaling.Mailbox, body []byte, ttl time.Duration) error {
	o.search.await()
	return o.Carriers.Send(ctx, mb, body, ttl)
}
