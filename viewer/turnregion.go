package viewer

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling/region"
)

const (
	// probeLife is how long measured legs may be used for a choice.
	probeLife = 5 * time.Second
	// probeWait is how long after a probe has begun a choice may still wait for answers.
	probeWait = 250 * time.Millisecond
	// probeGrace is how much later than the relay's own region others may answer and still count.
	probeGrace = 10 * time.Millisecond
	// avoidFor is how long sessions use no TURN server of a region whose relay was lost.
	avoidFor = 30 * time.Second
)

// turnRegions chooses the region whose TURN server a session uses: the one on the shortest way between both ends
// (doc/protocol.md, section 5.11).
type turnRegions struct {
	// skip reports that media needs no TURN server, so that no time is to be spent on a choice. It may be nil.
	skip  func() bool
	known func() ([]region.Leg, []region.Region) // the camera's legs and their regions; nil before pairing

	mu      sync.Mutex
	running context.Context      // guarded by mu; nil before start
	work    sync.WaitGroup       // the probes
	last    *regionProbe         // guarded by mu; nil before the first probe, and after forget
	avoided map[string]time.Time // guarded by mu; until when a region is avoided, by its name
}

// regionProbe is one measurement of this end's legs. turnRegions.mu guards least, arrived, changed and over.
type regionProbe struct {
	began   time.Time
	asked   int                      // how many regions were asked
	least   map[string]time.Duration // the round trips so far, by the regions' names
	arrived map[string]time.Time     // when the first answer of a region came
	vain    bool                     // the probe before got no answer, so nobody waits for this one
	changed chan struct{}            // closed when another region answers, or the probe is over
	over    bool
}

// candidates returns the camera's legs to the TURN servers of regions, and these regions; none if there is no choice.
func (t *turnRegions) candidates() ([]region.Leg, []region.Region) {
	if t.known == nil || t.skip != nil && t.skip() {
		return nil, nil
	}
	legs, regions := t.known() // reads the disk
	if len(legs) < 2 {
		return nil, nil
	}
	return legs, regions
}

// start begins the first probe, so that the legs are known when a relay is reached. choose may begin more until ctx
// ends; after that, the caller must wait for work.
func (t *turnRegions) start(ctx context.Context) {
	t.mu.Lock()
	t.running = ctx
	t.mu.Unlock()
	t.probe()
}

// forget forgets what was measured: this device has moved to another network.
func (t *turnRegions) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = nil
}

// avoid keeps sessions away from a region for avoidFor, because its relay was lost.
func (t *turnRegions) avoid(relayURL string) {
	_, regions := t.candidates()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.avoided == nil {
		t.avoided = make(map[string]time.Time)
	}
	for _, r := range regions {
		if r.URL == relayURL {
			t.avoided[r.Name] = time.Now().Add(avoidFor)
		}
	}
}

// choose returns the shortest way for a session that this relay grants, and the place of that way's own relay. If
// nothing is known, it returns nil and the given relay. roundTrip returns this end's round trip to the given relay, 0
// if unknown: it stands in for one to that region's STUN server, which may not have answered. isAway reports whether
// the relay at a URL cannot be reached.
func (t *turnRegions) choose(
	ctx context.Context,
	relay session.Place,
	roundTrip func() time.Duration,
	isAway func(relayURL string) bool,
) (*region.Way, session.Place) {
	camera, regions := t.candidates()
	if len(camera) == 0 {
		return nil, relay
	}
	legs := t.legs(ctx, relay.Name)
	if len(legs) == 0 {
		return nil, relay
	}
	if _, answered := legs[relay.Name]; !answered && hasLeg(camera, relay.Name) {
		if legs[relay.Name] = roundTrip(); legs[relay.Name] == 0 {
			return nil, relay
		}
	}
	t.leaveOut(legs, relay, regions, isAway)
	way, ok := region.ShortestWay(relay.Name, camera, region.Legs(legs))
	if !ok {
		return nil, relay
	}

	for _, r := range regions {
		if r.Name == way.Name {
			return &way, session.Place{Name: r.Name, URL: r.URL}
		}
	}
	return nil, relay
}

// leaveOut removes the legs to regions that are avoided or whose relays cannot be reached. The region of the relay that
// grants is not left out: what can grant can relay, as far as anybody knows.
func (t *turnRegions) leaveOut(
	legs map[string]time.Duration,
	relay session.Place,
	regions []region.Region,
	isAway func(relayURL string) bool,
) {
	for _, r := range regions {
		if r.URL != relay.URL && (t.isAvoided(r.Name) || isAway(r.URL)) {
			delete(legs, r.Name)
		}
	}
}

func (t *turnRegions) isAvoided(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.avoided[name])
}

func hasLeg(legs []region.Leg, name string) bool {
	return slices.ContainsFunc(legs, func(leg region.Leg) bool { return leg.Name == name })
}

// legs returns this end's round trips to the regions that have answered a recent probe, after waiting for it. own is
// the region of the relay that will grant.
func (t *turnRegions) legs(ctx context.Context, own string) map[string]time.Duration {
	p := t.probe()
	if p == nil {
		return nil
	}
	t.await(ctx, p, own)
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(p.least)
}

// probe returns the last probe if it is recent, or else begins one. It returns nil before start and without regions.
func (t *turnRegions) probe() *regionProbe {
	t.mu.Lock()
	recent := t.recent()
	t.mu.Unlock()
	if recent != nil {
		return recent
	}

	_, regions := t.candidates()
	t.mu.Lock()
	defer t.mu.Unlock()
	if recent := t.recent(); recent != nil || t.running == nil || len(regions) == 0 {
		return recent
	}

	p := &regionProbe{
		began:   time.Now(),
		asked:   len(regions),
		vain:    t.last != nil && t.last.over && len(t.last.least) == 0,
		least:   make(map[string]time.Duration),
		arrived: make(map[string]time.Time),
		changed: make(chan struct{}),
	}
	t.last = p
	t.work.Go(func() {
		region.Probe(t.running, regions, func(name string, d time.Duration) { t.note(p, name, d) })
		t.mu.Lock()
		defer t.mu.Unlock()
		p.over = true
		close(p.changed)
	})
	return p
}

// recent returns the last probe if it still counts, and nil if not. t.mu must be held.
func (t *turnRegions) recent() *regionProbe {
	if t.last == nil || time.Since(t.last.began) >= probeLife {
		return nil
	}
	return t.last
}

// note notes one sample of a region's round trip.
func (t *turnRegions) note(p *regionProbe, name string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	least, known := p.least[name]
	if !known || d < least {
		p.least[name] = d
	}
	if !known {
		p.arrived[name] = time.Now()
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// await waits until all regions have answered, or the rest are too far away to matter. The relay asked is normally the
// camera's home, hence nearest to it, so a region farther from here than the relay's own saves nothing.
func (t *turnRegions) await(ctx context.Context, p *regionProbe, own string) {
	deadline := p.began.Add(probeWait)
	for {
		t.mu.Lock()
		arrived, answered := p.arrived[own]
		all := p.over || p.vain || len(p.least) == p.asked
		changed := p.changed
		t.mu.Unlock()
		if enough := arrived.Add(probeGrace); answered && enough.Before(deadline) {
			deadline = enough
		}
		if all || !time.Now().Before(deadline) {
			return
		}

		timer := time.NewTimer(time.Until(deadline))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}
