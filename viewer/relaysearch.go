package viewer

import (
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
	newClient func(place session.Place, webTransport bool, observe func(error)) (*signaling.Client, error)
	signal    *signaling.Carriers
	known     func() (named, more []session.Place) // where the camera may be, in the order in which to try
	turn      *turnRegions

	mu      sync.Mutex
	relays  []*visitedRelay // guarded by mu; home first; all stay connected
	watched []*visitedRelay // guarded by mu; not in relays: their TURN servers serve sessions; all stay connected
	more    int             // guarded by mu; how many of relays the camera has not named
	waits   []*awaited      // guarded by mu; the grants and sealed replies that are awaited, the oldest first
	begun   bool            // guarded by mu; a relay has been reached
	changed chan struct{}   // guarded by mu; closed when something changes
	work    sync.WaitGroup
	running context.Context // guarded by mu; nil before run
}

// awaited is a grant or a sealed reply that has not come yet.
type awaited struct{ since time.Time }

// visitedRelay is one of the relays where a camera is looked for.
type visitedRelay struct {
	session.Place
	client  *signaling.Client
	since   time.Time // when it was tried first, or was lost last
	reached time.Time // zero while it is not connected
	failed  bool      // the last try to connect has failed
	tries   int       // how many have failed since it was connected last
	refused bool      // it has refused to serve the camera
	before  bool      // it has been connected
	watched bool      // it is asked for nothing
	moved   bool      // this end has ended the connection, to move to another network
}

// newRelaySearch returns a search that begins at home. run dials it, and the others where needed.
func newRelaySearch(
	signal *signaling.Carriers,
	known func() (named, more []session.Place),
	turn *turnRegions,
	newClient func(session.Place, bool, func(error)) (*signaling.Client, error),
) (*relaySearch, error) {
	s := &relaySearch{newClient: newClient, signal: signal, known: known, turn: turn, changed: make(chan struct{})}
	named, _ := known()
	return s, s.add(named[0])
}

// add makes a client of one more relay. s.mu must be held, except before run.
func (s *relaySearch) add(place session.Place) error {
	relay := &visitedRelay{Place: place, since: time.Now()}
	var err error
	relay.client, err = s.newClient(place, true, func(err error) { s.observe(relay, err) })
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
		due, changed := s.due(), s.changed
		s.mu.Unlock()

		timer.Stop()
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
		} else if !due.IsZero() && s.goOn() {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
	}
}

// goOn goes on to the next relay, and reports whether there is one.
func (s *relaySearch) goOn() bool {
	named, more := s.known() // reads the disk
	s.mu.Lock()
	defer s.mu.Unlock()
	place, unnamed, ok := s.next(named, more)
	if !ok || s.add(place) != nil {
		return false
	}
	if unnamed {
		s.more++
	}
	return true
}

// due returns when to go on to the next relay; zero: not at all for now. s.mu must be held.
func (s *relaySearch) due() time.Time {
	last := s.relays[len(s.relays)-1]
	switch {
	case len(s.waits) == 0 && s.begun:
		return time.Time{} // the camera has been found, or nobody asks for it yet
	case last.failed, last.refused:
		return last.since
	case last.reached.IsZero():
		return last.since.Add(reachWait)
	}
	since := last.reached
	if len(s.waits) > 0 && s.waits[0].since.After(since) {
		since = s.waits[0].since
	}
	return since.Add(last.roundTrip() + time.Duration(last.RoundTrip)*time.Millisecond + replyGrace)
}

// roundTrip returns the round trip from here to the relay. Until the relay has answered something, that is at most half
// of the time in which it was reached. s.mu must be held.
func (r *visitedRelay) roundTrip() time.Duration {
	if d := r.client.RoundTrip(); d > 0 {
		return d
	}
	return min(r.reached.Sub(r.since)/2, reachWait)
}

// next returns the next of these places to try, and whether the camera has not named it. s.mu must be held.
func (s *relaySearch) next(named, more []session.Place) (place session.Place, unnamed, ok bool) {
	untried := func(place session.Place) bool {
		return !slices.ContainsFunc(s.relays, func(r *visitedRelay) bool { return r.URL == place.URL })
	}
	if i := slices.IndexFunc(named, untried); i >= 0 {
		return named[i], false, true
	}
	i := slices.IndexFunc(more, untried)
	if i < 0 || s.more >= maxMoreRelays {
		return session.Place{}, false, false
	}
	return more[i], true, true
}

// goesOn reports whether there is another relay to try.
func (s *relaySearch) goesOn() bool {
	named, more := s.known() // reads the disk
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, ok := s.next(named, more)
	return ok
}

// hasOther reports whether the camera may be at a relay other than the one at relayURL.
func (s *relaySearch) hasOther(relayURL string) bool {
	relays, _ := s.list()
	return slices.ContainsFunc(relays, func(r *visitedRelay) bool { return r.URL != relayURL }) || s.goesOn()
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
		now, wasReached := time.Now(), !relay.reached.IsZero()
		relay.reached, relay.failed = time.Time{}, err != nil
		switch {
		case err == nil:
			relay.reached, relay.tries, s.begun = now, 0, true
			relay.before, relay.moved = true, false
		case wasReached:
			relay.since = now
			if relay.watched {
				relay.client.Probe() // dials at once
				time.AfterFunc(backWithin, func() { s.change(func() {}) })
			}
		default:
			relay.tries++
		}
	})
}

// await notes that a grant or a reply is awaited from now on, until done is called.
func (s *relaySearch) await() (done func()) {
	w := &awaited{time.Now()}
	s.change(func() { s.waits = append(s.waits, w) })
	return func() {
		s.change(func() { s.waits = slices.DeleteFunc(s.waits, func(other *awaited) bool { return other == w }) })
	}
}

// refuse notes that relays do not serve the camera now, so that the next one is tried.
func (s *relaySearch) refuse(relays ...*visitedRelay) {
	s.change(func() {
		for _, r := range relays {
			r.refused = true
		}
	})
}

// forgive forgets what relays have refused, since they are asked anew.
func (s *relaySearch) forgive() {
	s.change(func() {
		for _, r := range s.relays {
			r.refused = false
		}
	})
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

// clients returns the clients of all relays to which this end connects, home's first.
func (s *relaySearch) clients() (clients []*signaling.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Concat(s.relays, s.watched) {
		clients = append(clients, r.client)
	}
	return clients
}

// redial connects anew after this device has moved to another network.
func (s *relaySearch) redial() {
	s.turn.forget()
	s.change(func() {
		for _, r := range slices.Concat(s.relays, s.watched) {
			r.moved = true
		}
	})
	for _, client := range s.clients() {
		client.Redial()
	}
}

// connect waits until one of the relays is reached. When ctx ends first, the error says why home was not.
func (s *relaySearch) connect(ctx context.Context) error {
	defer s.await()()
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

// serverTime returns the time of the first of the relays, in the order in which they were tried, that was ever reached.
func (s *relaySearch) serverTime() (now time.Time, known bool) {
	relays, _ := s.list()
	for _, r := range relays {
		if now, known = r.client.ServerTime(); known {
			return now, true
		}
	}
	return time.Time{}, false
}
