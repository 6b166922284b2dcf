package viewer

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling/region"
)

const (
	// probeLife is for how long the legs that were measured may be used to choose.
	probeLife = 5 * time.Second
	// probeWait is how long a choice may wait for the first answers of a probe, from its beginning.
	probeWait = 250 * time.Millisecond
	// probeGrace is how much later than the relay's own region others may answer and still count.
	probeGrace = 10 * time.Millisecond
	// avoidFor is for how long a session uses no TURN server of a region that was lost.
	avoidFor = 30 * time.Second
)

// turnRegions chooses the region whose TURN server a session uses: the one over which the way between both ends is
// shortest (doc/protocol.md, section 5.11).
type turnRegions struct {
	known func() ([]region.Leg, []region.Region) // the camera's legs, and these regions; nil: there is no camera yet

	mu      sync.Mutex
	running context.Context      // guarded by mu; nil before start
	work    sync.WaitGroup       // the probes
	last    *regionProbe         // guarded by mu; nil: none yet, or none that counts
	avoided map[string]time.Time // guarded by mu; until when a region is avoided, by its name
}

// regionProbe is one measurement of this end's legs. turnRegions.mu guards what changes.
type regionProbe struct {
	began   time.Time
	asked   int                      // how many regions were asked
	least   map[string]time.Duration // the round trips so far, by the regions' names
	changed chan struct{}            // closed when another region has answered, or none will any more
	over    bool
}

// candidates returns the camera's legs to the TURN servers of regions, and these regions; none if there is no choice.
func (t *turnRegions) candidates() ([]region.Leg, []region.Region) {
	if t.known == nil {
		return nil, nil
	}
	legs, regions := t.known() // reads the disk
	if len(legs) < 2 {
		return nil, nil
	}
	return legs, regions
}

// start probes the regions at once, so that the legs are known when a relay is reached, and again when they are asked
// for, until ctx ends. Then the caller waits for work.
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

// avoid has sessions avoid a region for a while, because its relay was lost.
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

// choose returns the shortest way for a session whose grant comes from the relay of a place, and where that way's relay
// is. The way is nil if nothing is known, and the place then the relay's. roundTrip is this end's to that relay.
func (t *turnRegions) choose(
	ctx context.Context,
	relay session.Place,
	roundTrip time.Duration,
) (*region.Way, session.Place) {
	camera, regions := t.candidates()
	if len(camera) == 0 {
		return nil, relay
	}
	way, ok := region.ShortestWay(relay.Name, camera, t.legs(ctx, relay.Name, roundTrip))
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

// legs returns this end's legs to the regions that are not avoided. It waits a moment for a probe that has just begun.
// If own's STUN server has not answered by then, and another one has, own's relay stands in for it.
func (t *turnRegions) legs(ctx context.Context, own string, roundTrip time.Duration) []region.Leg {
	p := t.probe()
	if p == nil {
		return nil
	}
	t.await(ctx, p, own)

	t.mu.Lock()
	defer t.mu.Unlock()
	legs, now := maps.Clone(p.least), time.Now()
	if _, answered := legs[own]; !answered && len(legs) > 0 && own != "" && roundTrip > 0 {
		legs[own] = roundTrip
	}
	maps.DeleteFunc(legs, func(name string, _ time.Duration) bool { return now.Before(t.avoided[name]) })
	return region.Legs(legs)
}

// probe returns the last probe if it is young enough, and begins another one if not. It returns nil before start.
func (t *turnRegions) probe() *regionProbe {
	_, regions := t.candidates()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil && time.Since(t.last.began) < probeLife || t.running == nil || len(regions) == 0 {
		return t.last
	}

	p := &regionProbe{
		began:   time.Now(),
		asked:   len(regions),
		least:   make(map[string]time.Duration),
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

// note notes one sample of a region's round trip.
func (t *turnRegions) note(p *regionProbe, name string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	least, known := p.least[name]
	if !known || d < least {
		p.least[name] = d
	}
	if !known {
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// await waits until all regions have answered, or until what has not is too far away to matter: the region of the relay
// that grants is among those nearest to the camera, so that one which is farther from here than it saves nothing.
func (t *turnRegions) await(ctx context.Context, p *regionProbe, own string) {
	deadline := p.began.Add(probeWait)
	for {
		t.mu.Lock()
		least, answered := p.least[own]
		all := p.over || len(p.least) == p.asked
		changed := p.changed
		t.mu.Unlock()
		if answered {
			deadline = p.began.Add(min(probeWait, least+probeGrace))
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
