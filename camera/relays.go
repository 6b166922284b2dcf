package camera

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
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
	// firstMeasure is how long after the start they are measured first, so that a restart is no hurry.
	firstMeasure = 2 * time.Second
	// lookEvery is how often the relays' connections are looked at.
	lookEvery = 10 * time.Second
	// awayFor is how long home or standby must be away before the regions are measured out of turn.
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

	mu       sync.Mutex
	state    relayState
	unsaved  bool                         // guarded by mu; the state on disk is an older one
	measured map[string]time.Duration     // guarded by mu; the last round trips, by URL
	clients  map[string]*signaling.Client // guarded by mu; by URL
	stops    map[string]func()            // guarded by mu; of the clients that run
	running  context.Context              // guarded by mu; nil before run
	work     sync.WaitGroup
}

// openRelays loads which relays were home and standby, and prepares the clients of them.
func (c *Camera) openRelays() error {
	r := &relays{
		camera:  c,
		path:    filepath.Join(c.cfg.State, relaysFileName),
		clients: make(map[string]*signaling.Client),
		stops:   make(map[string]func()),
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
	r.clients[url] = client
	r.camera.signal.Add(signaling.Carrier{Name: url, Client: client})
	if r.running != nil {
		r.start(url)
	}
	return nil
}

// start runs a client. r.mu must be held.
func (r *relays) start(url string) {
	client := r.clients[url]
	ctx, cancel := context.WithCancel(r.running)
	ended := make(chan struct{})
	r.work.Go(func() { defer close(ended); _ = client.Run(ctx) }) // returns ctx's error and no other
	r.stops[url] = func() { cancel(); <-ended }
}

// reportState passes on the state of home's connection. That of another relay is only logged.
func (r *relays) reportState(url string, err error) {
	if url == r.homeURL() {
		if r.camera.cfg.OnRelay != nil {
			r.camera.cfg.OnRelay(err)
		}
		return
	}
	r.camera.cfg.Logger.Debug("another relay", "url", url, "err", err)
}

func (r *relays) homeURL() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Home
}

// pairingRelay returns the client and the URL of home, to which a code leads. It stays open while the code is valid,
// even if another relay becomes home.
func (r *relays) pairingRelay() (client *signaling.Client, url string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clients[r.state.Home], r.state.Home
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
		clients = append(clients, r.clients[url])
	}
	return clients
}

// connect waits until one of the relays is reached, or ctx ends.
func (r *relays) connect(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var waiting sync.WaitGroup
	for _, client := range r.all() {
		waiting.Go(func() {
			if client.Connect(ctx) == nil {
				cancel()
			}
		})
	}
	waiting.Wait()
}

// serverTime returns the time of the first of the relays that was reached.
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
	for url := range r.clients {
		r.start(url)
	}
	r.mu.Unlock()
	defer r.work.Wait()

	r.save()
	r.logChoice()
	var chooser region.Chooser
	var away time.Time // since when home or standby is not connected
	next := time.Now().Add(firstMeasure)
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
		switch {
		case r.connected():
			away = time.Time{}
		case away.IsZero():
			away = now
		}
		if lost := !away.IsZero() && now.Sub(away) >= awayFor; now.Before(next) && !lost {
			continue
		}
		next = now.Add(r.choose(ctx, &chooser))
		away = next // if it lasts, the next choice is soon enough
	}
}

// connected reports whether home and standby are.
func (r *relays) connected() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	standby := r.clients[r.state.Standby]
	return r.clients[r.state.Home].Connected() && (standby == nil || standby.Connected())
}

// choose measures the regions, and changes home or standby if that is due. It returns when to do so again.
func (r *relays) choose(ctx context.Context, chooser *region.Chooser) (again time.Duration) {
	client := region.NewClient(r.camera.credentials.Load().trust)
	defer client.Close()
	r.fetchMap(ctx, client)
	r.mu.Lock()
	regions := r.state.regions(r.camera.clock.Now())
	chooser.Home, chooser.Standby = r.state.Home, r.state.Standby
	order := region.PlaceOrder(r.state.Seed, regions)
	r.mu.Unlock()
	if len(regions) == 0 {
		return measureEvery
	}

	roundTrips := client.Measure(ctx, order)
	if ctx.Err() != nil {
		return measureEvery
	}
	changed := chooser.Judge(time.Now(), order, roundTrips)
	r.mu.Lock()
	r.measured = roundTrips
	if changed {
		r.settle(chooser.Home, chooser.Standby)
	}
	r.mu.Unlock()
	if changed {
		r.logChoice()
		r.save()
	}
	if settles := chooser.Settled(); settles > 0 {
		return settles
	}
	return measureEvery
}

// fetchMap gets the operator's map from the first relay that serves one by the pinned key. What a relay serves instead
// changes nothing.
func (r *relays) fetchMap(ctx context.Context, client *region.Client) {
	r.mu.Lock()
	open, operator, kept := r.state.open(), r.state.Operator, []byte(r.state.Map)
	r.mu.Unlock()
	for _, url := range open {
		wire, err := client.Fetch(ctx, url)
		if err != nil {
			r.camera.cfg.Logger.Debug("map of regions", "relay", url, "err", err)
			continue
		}
		wire, key, err := region.Update(kept, wire, operator, r.camera.clock.Now())
		if errors.Is(err, region.ErrOperator) {
			r.camera.cfg.Logger.Warn("the relay's map of regions is not used: it is signed by another operator than "+
				"before. If the operator has a new key, stop the camera, remove "+relaysFileName+
				" from its state folder, and start it again", "relay", url)
		}
		if err != nil {
			r.camera.cfg.Logger.Debug("map of regions", "relay", url, "err", err)
			continue
		}

		r.mu.Lock()
		changed := r.state.Map != string(wire)
		r.state.Map, r.state.Operator = string(wire), key
		r.unsaved = r.unsaved || changed
		r.mu.Unlock()
		r.save()
		return
	}
}

// settle makes two relays home and standby. r.mu must be held.
func (r *relays) settle(home, standby string) {
	r.state = r.state.settled(home, standby, r.camera.clock.Now())
	r.unsaved = true
	r.openAndClose()
}

// openAndClose opens the relays that the state names, and closes all others. r.mu must be held.
func (r *relays) openAndClose() {
	wanted := r.state.open()
	for _, url := range wanted {
		if r.clients[url] != nil {
			continue
		}

		_ = r.add(url) // fails for a malformed URL alone, and a map has none
	}
	for url := range maps.Clone(r.clients) {
		if slices.Contains(wanted, url) {
			continue
		}
		r.camera.signal.Remove(url)
		stop := r.stops[url]
		delete(r.clients, url)
		delete(r.stops, url)
		if stop != nil {
			r.work.Go(stop) // it may be reporting its state, which waits for r.mu
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

// listFor returns the list for a viewer that holds one of a version, or nil if that is the present one.
func (r *relays) listFor(held []byte) *session.RelayList {
	list := r.list()
	if string(held) == string(list.Version) {
		return nil
	}
	return list
}

// list returns what viewers learn.
func (r *relays) list() *session.RelayList {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make(map[string]string)
	for _, g := range r.state.regions(r.camera.clock.Now()) {
		names[g.URL] = g.Name
	}
	place := func(url string) session.Place { return session.Place{Name: names[url], URL: url} }

	list := &session.RelayList{Home: place(r.state.Home), Seed: r.state.Seed, Operator: r.state.Operator}
	if r.state.Standby != "" {
		standby := place(r.state.Standby)
		list.Standby = &standby
	}
	text, _ := json.Marshal(list) // it has strings and bytes alone
	version := sha256.Sum256(text)
	list.Version = version[:session.RelayVersionSize]

	list.Home.RoundTrip = r.milliseconds(list.Home.URL) // not in the version: it changes with each measurement
	if list.Standby != nil {
		list.Standby.RoundTrip = r.milliseconds(list.Standby.URL)
	}
	return list
}

// milliseconds returns the last round trip to a relay, rounded up. r.mu must be held.
func (r *relays) milliseconds(url string) int {
	d, ok := r.measured[url]
	if !ok {
		return 0
	}
	return max(1, int((d+time.Millisecond-1)/time.Millisecond))
}

// given returns a state for the relay that the camera was given. One that was made for another relay belonged to
// another operator: what it says of regions is forgotten, and its relays are former ones.
func (s relayState) given(url string, now time.Time) relayState {
	if len(s.Seed) != region.SeedSize {
		s.Seed = newPlaceSeed()
	}
	if s.Given == url && s.Home != "" {
		return s.settled(s.Home, s.Standby, now)
	}
	s.Given, s.Map, s.Operator = url, "", nil
	return s.settled(url, "", now)
}

// settled returns a state with these as home and standby. Those that were become former relays.
func (s relayState) settled(home, standby string, now time.Time) relayState {
	var former []formerRelay
	for _, url := range []string{s.Home, s.Standby} {
		if url != "" {
			former = append(former, formerRelay{URL: url, Until: now.Add(formerFor)})
		}
	}
	former = append(former, s.Former...)
	slices.SortStableFunc(former, func(a, b formerRelay) int { return cmp.Compare(b.Until.Unix(), a.Until.Unix()) })

	s.Home, s.Standby, s.Former = home, standby, nil
	for _, f := range former {
		if len(s.Former) < maxFormer && now.Before(f.Until) && !slices.Contains(s.open(), f.URL) {
			s.Former = append(s.Former, f)
		}
	}
	return s
}

// open returns the URLs of the relays at which the camera is, home first.
func (s relayState) open() []string {
	urls := []string{s.Home}
	if s.Standby != "" {
		urls = append(urls, s.Standby)
	}
	for _, f := range s.Former {
		urls = append(urls, f.URL)
	}
	return urls
}

// regions returns the regions of the map, also of one that has expired; none without a map.
func (s relayState) regions(now time.Time) []region.Region {
	m, _ := region.Open([]byte(s.Map), s.Operator, now) // a map that has expired comes with an error
	return m.Regions
}
