package viewer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
)

const (
	// relayWait is how long a person waits for a silent relay before hearing that it cannot be reached: a little more
	// than one attempt takes.
	relayWait = 11 * time.Second

	// relayTries is how often a relay may refuse before a person hears of it: about a second, enough for one that
	// restarts.
	relayTries = 4

	// searchWait is how long a camera is looked for without the relay before a person hears that the relay cannot be
	// reached.
	searchWait = 3 * time.Second

	// circuitDelay is how long the relay must be away, or not serve the camera, before circuit relays are asked, which
	// are others' machines.
	circuitDelay = 500 * time.Millisecond
)

// The carriers of signaling, as Watch.OnCarrier names them.
const (
	CarrierRelay   = "relay"
	CarrierLAN     = p2p.CarrierLAN
	CarrierCircuit = p2p.CarrierCircuit
)

// link is a viewer's signaling with one camera: running clients of its relays, and of the camera's own server where
// that is found without them.
type link struct {
	relay   *signaling.Client   // home's
	search  *relaySearch        // of the relay where the camera is
	without []*signaling.Client // on this network, and through circuit relays; empty without Config.LAN
	lan     *signaling.Client   // the one on this network; nil without Config.LAN
	signal  *signaling.Carriers // all at once
	stop    func()

	began   time.Time
	refused context.Context // ends with the last of relayTries
	refuse  context.CancelFunc

	mu       sync.Mutex
	last     error         // guarded by mu; why the relay is not connected
	failures int           // guarded by mu
	changed  chan struct{} // guarded by mu; closed when a relay is reached or the last is lost, or useless changes
	isUp     bool          // guarded by mu; a relay is connected
	granter  session.Place // guarded by mu; the relay whose servers were granted last; zero if none were
	useless  time.Time     // guarded by mu; since when the relay does not serve the camera; zero: it may

	names session.HostList        // guarded by mu; by which the camera is found without the relay
	kept  func() session.HostList // reads those on disk
	read  []byte                  // guarded by mu; the version of those that were read from disk last
	seen  netip.Addr              // guarded by mu; how the circuit relay sees this device; zero if it does not say
}

// connect runs a client of a relay until its stop is called, and waits until the relay is reached. Its error says in
// words for a person why it cannot be.
func (v *Viewer) connect(ctx context.Context, relayURL string) (*link, error) {
	l, err := v.newLink(ctx, only(relayURL), new(turnRegions))
	if err != nil {
		return nil, err
	}
	return l, l.start(ctx)
}

// only returns one relay as all places where a camera can be.
func only(relayURL string) func() (named, more []session.Place) {
	return func() (named, more []session.Place) { return []session.Place{{URL: relayURL}}, nil }
}

// connectCamera is like connect, but reaches a paired camera by any carrier. relayOnly keeps to its relays, which show
// the camera no address of ours.
func (v *Viewer) connectCamera(ctx context.Context, record pairing.Record, relayOnly bool) (*link, error) {
	known := func() (named, more []session.Place) {
		return v.relaysOf(record).places(record.RelayURL, v.clock.Now())
	}
	turn := &turnRegions{known: func() ([]region.Leg, []region.Region) {
		return v.relaysOf(record).turn(record.RelayURL, v.clock.Now())
	}}
	l, err := v.newLink(ctx, known, turn)
	if err != nil {
		return nil, err
	}

	if !v.cfg.LAN || relayOnly {
		return l, l.start(ctx)
	}
	l.kept = func() session.HostList { return v.hostList(record) }
	l.readNames()
	if l.lan, err = v.newClientOf(record, "the camera on this network", l.findOnLAN); err != nil {
		return nil, err
	}
	turn.skip = l.lan.Connected
	circuit, err := v.newClientOf(record, "the camera's circuit relays", l.findByCircuit)
	if err != nil {
		return nil, err
	}

	l.without = []*signaling.Client{l.lan, circuit}
	l.signal.Add(signaling.Carrier{Name: CarrierLAN, Client: l.lan})
	l.signal.Add(signaling.Carrier{Name: CarrierCircuit, Client: circuit})
	return l, l.start(ctx)
}

// newLink returns a link that looks for a camera at these relays, home first, once start has been called.
func (v *Viewer) newLink(
	ctx context.Context,
	known func() (named, more []session.Place),
	turn *turnRegions,
) (l *link, err error) {
	l = &link{changed: make(chan struct{}), signal: signaling.Together()}
	dial := func(place session.Place, webTransport bool, observe func(error)) (*signaling.Client, error) {
		home := l.search == nil
		return signaling.NewClient(signaling.ClientConfig{
			URL:          place.URL,
			TLS:          v.cfg.TLS,
			WebTransport: webTransport,
			Logger:       v.cfg.Logger,
			OnState: func(err error) {
				observe(err)
				l.follow()
				if home {
					l.observe(err)
				}
			},
		})
	}
	if l.search, err = newRelaySearch(l.signal, known, turn, dial); err != nil {
		return nil, err
	}

	l.relay = l.search.clients()[0]
	l.refused, l.refuse = context.WithCancel(ctx)
	return l, nil
}

// clients returns the clients of all carriers.
func (l *link) clients() []*signaling.Client {
	return append(slices.Clone(l.without), l.search.clients()...)
}

// start runs the clients until stop is called, and waits until one is connected.
func (l *link) start(ctx context.Context) error {
	l.began = time.Now()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a session that ends with ctx still says goodbye
	var work sync.WaitGroup
	work.Go(func() { l.search.run(running) })
	l.search.turn.start(running)
	for _, client := range l.without {
		work.Go(func() { _ = client.Run(running) }) // returns running's error and no other
	}
	l.stop = func() { l.signal.Close(); cancel(); work.Wait(); l.search.turn.work.Wait() }

	if err := l.reach(ctx); err != nil {
		l.stop()
		return err
	}
	return nil
}

// follow notes whether a relay is connected.
func (l *link) follow() {
	up := l.search.isReached()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isUp != up {
		l.isUp = up
		l.reportChange()
	}
}

// observe counts failures to connect to home.
func (l *link) observe(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last = err; err == nil {
		return
	}
	if l.failures++; l.failures < relayTries {
		return
	}
	l.refuse()
}

// reach waits until a carrier is connected. Its error is the relay's, and says where else the camera was looked for.
func (l *link) reach(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	defer context.AfterFunc(l.refused, func() {
		if len(l.hostNames().Keys) > 0 {
			time.AfterFunc(time.Until(l.began.Add(searchWait)), cancel)
		} else if l.search.despairs(waiting) {
			cancel()
		}
	})()

	reached := make(chan error, 1+len(l.without))
	for _, client := range l.without {
		go func() {
			if client.Connect(waiting) == nil {
				reached <- nil
			}
		}()
	}
	go func() { reached <- l.search.connect(waiting) }()
	err := <-reached

	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil || ctx.Err() != nil {
		return err
	}
	if l.last != nil {
		err = l.last
	}
	switch {
	case len(l.names.Keys) == 0:
		return err
	case len(l.names.Relays) == 0:
		return fmt.Errorf("%w; the camera does not answer on this network either: run viewer doctor", err)
	}
	return fmt.Errorf("%w; the camera does not answer on this network or through its circuit relays either: "+
		"run viewer doctor", err)
}

// reachedWithout reports whether the camera has been reached without the relay.
func (l *link) reachedWithout() bool {
	for _, client := range l.without {
		if client.Connected() {
			return true
		}
	}
	return false
}

// reachesWithout is reachedWithout, but waits for a search that has only just begun, since the relay does not serve the
// camera.
func (l *link) reachesWithout(ctx context.Context) bool {
	if l.reachedWithout() {
		return true
	}
	wait := l.searchElsewhere()
	if wait == 0 {
		return false
	}

	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	reached := make(chan bool, len(l.without))
	for _, client := range l.without {
		go func() { reached <- client.Connect(waiting) == nil }()
	}

	for range l.without {
		if <-reached {
			return true
		}
	}
	return false
}

// searchElsewhere notes that the relay is there and does not serve the camera, so that circuit relays are asked, and
// returns how long to wait for the camera to be found without it: not at all if no name of the camera is known.
func (l *link) searchElsewhere() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names.Keys) == 0 {
		return 0
	}
	if l.useless.IsZero() {
		l.setUseless(time.Now())
	}

	begin := l.began
	if len(l.names.Relays) > 0 {
		begin = l.useless
	}
	return max(relayGrace, time.Until(begin.Add(searchWait)))
}

// relayServes notes that the relay serves the camera.
func (l *link) relayServes() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.useless.IsZero() {
		l.setUseless(time.Time{})
	}
}

// setUseless sets useless. mu must be held.
func (l *link) setUseless(since time.Time) {
	l.useless = since
	l.reportChange()
}

// setGranter notes the relay whose ICE servers were granted; the zero Place means none.
func (l *link) setGranter(relay session.Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.granter = relay
}

// granterURL returns the URL of the relay whose ICE servers were granted last; empty if none were.
func (l *link) granterURL() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.granter.URL
}

// regions returns which carrier a message came by, and the regions of its relay and of the session's TURN server, each
// empty if there is none.
func (l *link) regions(carrier string) (kind, signaling, turn string) {
	l.mu.Lock()
	turn = l.granter.Region()
	l.mu.Unlock()
	relays, _ := l.search.list()
	for _, r := range relays {
		if r.URL == carrier {
			return CarrierRelay, r.Region(), turn
		}
	}
	return carrier, "", turn
}

// reportChange wakes whoever waits for changed. mu must be held.
func (l *link) reportChange() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// grantWait returns how long the relay has to grant ICE servers. The picture of a camera on this network needs none.
// That of a camera behind a circuit relay rarely comes without them, and the relay may just be a little slower.
func (l *link) grantWait() time.Duration {
	switch {
	case l.lan != nil && l.lan.Connected():
		return relayGrace
	case l.reachedWithout():
		return max(relayGrace, time.Until(l.began.Add(searchWait)))
	}
	return relayWait
}

// probe makes every carrier find out at once whether it is still connected.
func (l *link) probe() {
	for _, client := range l.clients() {
		client.Probe()
	}
}

// redial connects anew after this device has moved to another network.
func (l *link) redial() {
	l.setSeen(netip.Addr{})
	l.search.redial()
	for _, client := range l.without {
		client.Redial()
	}
}
