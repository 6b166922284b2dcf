package camera

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/region"
)

const (
	// measureEvery is how often the regions are measured while nothing asks for a change.
	measureEvery = time.Hour
	// measureAgain is how soon they are measured again if nothing could be reached.
	measureAgain = time.Minute
	// firstMeasure is how long after the start they are measured first. What else the camera does then goes first.
	firstMeasure = 2 * time.Second
	// lookEvery is how often the relays' connections are looked at.
	lookEvery = 10 * time.Second
	// awayFor is how long home or standby must be away before the regions are measured out of turn. A relay that is
	// away for as long counts as unreachable, whatever it answers over HTTP.
	awayFor = 30 * time.Second

	// formerFor is how long a relay stays open that was home or standby, and maxFormer how many such relays do.
	formerFor = 24 * time.Hour
	maxFormer = 2
)

// relays are the relays where the camera keeps its mailboxes open: home, standby, and for a day those that were
// (doc/protocol.md, section 5.10).
type relays struct {
	camera *Camera
	path   string // of the file that keeps the state

	reached chan struct{} // closed when a relay is reached for the first time
	reach   func()        // closes it
	work    sync.WaitGroup
	saving  sync.Mutex // held while the state is written
	telling sync.Mutex // held while OnRelay is called

	mu       sync.Mutex
	state    relayState
	unsaved  bool                     // guarded by mu; the state on disk is an older one
	measured map[string]time.Duration // guarded by mu; the last round trips, by URL
	legs     []region.Leg             // guarded by mu; to TURN servers; only choose writes them, and reads without mu
	listed   *session.RelayList       // guarded by mu; what viewers learn; nil: to be made anew
	open     map[string]*openRelay    // guarded by mu; by URL
	running  context.Context          // guarded by mu; nil before run
	warned   bool                     // guarded by mu; that the map is another operator's
}

// openRelay is a relay at which the camera keeps its mailboxes open.
type openRelay struct {
	client *signaling.Client
	stop   func() // nil before run

	// The rest is guarded by relays.mu.
	lost  time.Time // since when it is not connected; zero while it is
	known bool      // whether it has been tried
	err   error     // why it is not connected; nil while it is
}

// openRelays loads which relays were home and standby, and prepares the clients of them.
func (c *Camera) openRelays() error {
	reached := make(chan struct{})
	r := &relays{
		camera:  c,
		path:    filepath.Join(c.cfg.State, relaysFileName),
		reached: reached,
		reach:   sync.OnceFunc(func() { close(reached) }),
		open:    make(map[string]*openRelay),
	}
	state, err := readRelayState(r.path)
	if err != nil {
		c.cfg.Logger.Warn("the file of relays cannot be read, and is made anew", "err", err)
	}

	r.state = state.given(c.cfg.RelayURL, c.clock.Now())
	r.unsaved = true
	c.relays = r
	for _, url := range r.state.open() {
		if err := r.add(url); err != nil {
			return err
		}
	}
	return nil
}

// add makes a client of a relay, and lets it run if the others do. r.mu must be held, except before run.
func (r *relays) add(url string) error {
	cfg := signaling.ClientConfig{
		URL:       url,
		TLS:       r.camera.credentials.Load().trust,
		OnRefused: func(err error) { r.camera.cfg.Logger.Warn("the relay refused a mailbox", "err", err) },
		OnState:   func(err error) { r.reportState(url, err) },
		Logger:    r.camera.cfg.Logger,
	}
	client, err := signaling.NewClient(cfg)
	if err != nil {
		return err
	}

	carrier := signaling.Carrier{Name: url, Client: client}
	if r.state.isForeign(url) {
		carrier.Ticket = []byte{} // the camera's ticket is for its present operator
	}
	r.open[url] = &openRelay{client: client, lost: time.Now()}
	r.camera.signal.Add(carrier)
	if r.running != nil {
		r.start(r.open[url])
	}
	return nil
}

// start runs a relay's client. r.mu must be held.
func (r *relays) start(relay *openRelay) {
	ctx, cancel := context.WithCancel(r.running)
	ended := make(chan struct{})
	r.work.Go(func() { defer close(ended); _ = relay.client.Run(ctx) }) // returns ctx's error and no other
	relay.stop = func() { cancel(); <-ended }
}

// reportState notes the state of a relay's connection, and passes on home's. That of another relay is only logged.
func (r *relays) reportState(url string, err error) {
	if err == nil {
		r.reach()
	}
	r.telling.Lock()
	defer r.telling.Unlock()
	r.mu.Lock()
	if relay := r.open[url]; relay != nil {
		relay.known, relay.err = true, err
		switch {
		case err == nil:
			relay.lost = time.Time{}
		case relay.lost.IsZero():
			relay.lost = time.Now()
		}
	}
	home := r.state.Home
	r.mu.Unlock()

	if url != home {
		r.camera.cfg.Logger.Debug("another relay", "url", url, "err", err)
	} else if r.camera.cfg.OnRelay != nil {
		r.camera.cfg.OnRelay(err)
	}
}

// pairingRelay returns the client and the URL of the relay to which a code leads: home, or the standby while home is
// away. It stays open while the code is valid, even if another relay becomes home.
func (r *relays) pairingRelay() (client *signaling.Client, url string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	url = r.state.Home
	if standby := r.open[r.state.Standby]; standby != nil && !r.open[url].client.Connected() &&
		standby.client.Connected() {
		url = r.state.Standby
	}
	return r.open[url].client, url
}

// probe makes the camera find out at once whether it is still connected.
func (r *relays) probe() {
	for _, client := range r.all() {
		client.Probe()
	}
}

// all returns the clients of all relays, home's first.
func (r *relays) all() (clients []*signaling.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, url := range r.state.open() {
		clients = append(clients, r.open[url].client)
	}
	return clients
}

// connect waits until one of the relays has been reached, or ctx ends.
func (r *relays) connect(ctx context.Context) {
	select {
	case <-r.reached:
	case <-ctx.Done():
	}
}

// serverTime returns the time of the first relay, in the order of all, that was ever reached.
func (r *relays) serverTime() (now time.Time, known bool) {
	for _, client := range r.all() {
		if now, known = client.ServerTime(); known {
			return now, true
		}
	}
	return time.Time{}, false
}

// run keeps the camera at its relays until ctx ends.
func (r *relays) run(ctx context.Context) {
	r.mu.Lock()
	r.running = ctx
	for _, relay := range r.open {
		r.start(relay)
	}
	r.mu.Unlock()
	defer r.work.Wait()

	r.save()
	r.logChoice()
	var chooser region.Chooser
	next := time.Now().Add(firstMeasure)
	outOfTurn := next // when a relay that is away may bring the next measurement forward
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	timer := time.NewTimer(firstMeasure)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		case <-timer.C:
		}

		now := time.Now()
		r.closeFormer()
		lost := !now.Before(outOfTurn) && r.anyAway(now)
		if now.Before(next) && !lost {
			continue
		}
		next = now.Add(r.choose(ctx, &chooser, now))
		if outOfTurn = now; lost {
			outOfTurn = next // if it lasts, the next choice is soon enough
		}
	}
}

// anyAway reports whether home or standby has been away for a while.
func (r *relays) anyAway(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[r.state.Home].isAway(now) || r.open[r.state.Standby].isAway(now)
}

// isAway reports whether the relay has not been connected for a while. A nil relay is not away. relays.mu must be held.
func (o *openRelay) isAway(now time.Time) bool {
	return o != nil && !o.lost.IsZero() && now.Sub(o.lost) >= awayFor
}

// openAndClose opens the relays that the state names, and closes all others. r.mu must be held.
func (r *relays) openAndClose() {
	wanted := r.state.open()
	for _, url := range wanted {
		if r.open[url] == nil {
			_ = r.add(url) // fails for a malformed URL alone, and a map has none
		}
	}
	for url, relay := range maps.Clone(r.open) {
		if slices.Contains(wanted, url) {
			continue
		}
		r.camera.signal.Remove(url)
		delete(r.open, url)
		if relay.stop != nil {
			r.work.Go(relay.stop) // it may be reporting its state, which waits for r.mu
		}
	}
}

// closeFormer closes the relays whose day is over.
func (r *relays) closeFormer() {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.state.Former)
	r.state = r.state.settled(r.state.Home, r.state.Standby, r.camera.clock.Now())
	if len(r.state.Former) != before {
		r.unsaved = true
		r.openAndClose()
	}
}

// logChoice logs which relays are home and standby.
func (r *relays) logChoice() {
	list := r.list()
	standby := "none"
	if list.Standby != nil {
		standby = list.Standby.Region()
	}
	r.camera.cfg.Logger.Info("the camera's regions", "home", list.Home.Region(), "standby", standby)
}

// save writes the state if it has changed. It says in the log that it could not.
func (r *relays) save() {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.mu.Lock()
	state, unsaved := r.state, r.unsaved
	r.unsaved = false
	r.mu.Unlock()
	if !unsaved {
		return
	}

	if err := state.write(r.path); err != nil {
		r.camera.cfg.Logger.Warn("the camera's relays cannot be kept on disk: make room there, or make it writable. "+
			"Until then a restart forgets them", "err", err)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.unsaved = true
	}
}
