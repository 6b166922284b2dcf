package camera

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/peephole-cam/peephole/signaling/region"
)

// choose measures the regions at a time, and changes home or standby if that is due. It returns when to do so again.
func (r *relays) choose(ctx context.Context, chooser *region.Chooser, now time.Time) (again time.Duration) {
	client := region.NewClient(r.camera.credentials.Load().trust)
	defer client.Close()
	answered := r.fetchMap(ctx, client)
	r.mu.Lock()
	regions := r.state.regions(r.camera.clock.Now())
	chooser.Home, chooser.Standby = r.state.Home, r.state.Standby
	order := region.PlaceOrder(r.state.Seed, regions)
	r.mu.Unlock()
	if len(regions) == 0 {
		return againAfter(answered)
	}

	roundTrips := client.Measure(ctx, order)
	if ctx.Err() != nil {
		return measureEvery
	}
	r.dropAway(roundTrips, now)
	if chooser.Judge(now, order, roundTrips) {
		r.settle(chooser.Home, chooser.Standby, roundTrips)
	} else {
		r.change(func() { r.measured = roundTrips })
	}
	r.probeTURN(ctx, regions, roundTrips)
	return cmp.Or(chooser.Settled(), againAfter(len(roundTrips) > 0))
}

// probeTURN measures how far the TURN servers of the nearest regions are, so that a viewer can choose among them.
func (r *relays) probeTURN(ctx context.Context, regions []region.Region, roundTrips map[string]time.Duration) {
	r.mu.Lock()
	first := []string{r.state.Home, r.state.Standby}
	r.mu.Unlock()
	probed := make(map[string]time.Duration)
	if nearest := region.Nearest(regions, first, roundTrips); len(nearest) > 1 {
		region.Probe(ctx, nearest, func(name string, d time.Duration) {
			if least, ok := probed[name]; !ok || d < least {
				probed[name] = d
			}
		})
	}

	legs := region.Legs(probed)
	switch {
	case ctx.Err() != nil, len(roundTrips) == 0: // this camera reaches nothing: no news of the regions
		return
	case len(legs) < 2: // no choice
		legs = nil
	}
	if !region.SameLegs(legs, r.legs) {
		r.change(func() { r.legs = legs })
	}
}

// againAfter returns when to measure again, by whether anything could be reached.
func againAfter(reached bool) time.Duration {
	if reached {
		return measureEvery
	}
	return measureAgain
}

// dropAway takes those relays out of the measured ones that answer over HTTP and do no signaling.
func (r *relays) dropAway(roundTrips map[string]time.Duration, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for url, relay := range r.open {
		if relay.isAway(now) {
			delete(roundTrips, url)
		}
	}
}

// change changes what viewers learn.
func (r *relays) change(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	r.listed = nil
}

// fetchMap gets the operator's map from the first relay that serves one by the pinned key. What a relay serves instead
// changes nothing. It reports whether a relay has answered.
func (r *relays) fetchMap(ctx context.Context, client *region.Client) (answered bool) {
	r.mu.Lock()
	sources, operator, kept := r.state.mapSources(), r.state.Operator, []byte(r.state.Map)
	r.mu.Unlock()
	for _, url := range sources {
		wire, err := client.Fetch(ctx, url)
		answered = answered || err == nil || errors.Is(err, region.ErrNone)
		var key ed25519.PublicKey
		if err == nil {
			wire, key, err = region.Update(kept, wire, operator, r.camera.clock.Now())
		}
		if err != nil {
			r.reportMap(url, err)
			continue
		}

		r.change(func() {
			r.unsaved = r.unsaved || r.state.Map != string(wire)
			r.state.Map, r.state.Operator = string(wire), key
		})
		r.save()
		return true
	}
	return answered
}

// reportMap logs why a relay's map is not used. It warns once if that may be the operator's doing.
func (r *relays) reportMap(url string, err error) {
	r.camera.cfg.Logger.Debug("map of regions", "relay", url, "err", err)
	r.mu.Lock()
	warn := errors.Is(err, region.ErrOperator) && url == r.state.Given && !r.warned
	r.warned = r.warned || warn
	r.mu.Unlock()
	if warn {
		r.camera.cfg.Logger.Warn("the relay's map of regions is not used: it is signed by another operator than "+
			"before. Ask the operator first. Only if the key is new, stop the camera, remove "+relaysFileName+
			" from its state folder, and start it again", "relay", url)
	}
}

// settle makes two relays home and standby.
func (r *relays) settle(home, standby string, roundTrips map[string]time.Duration) {
	r.move(func() {
		r.measured = roundTrips
		r.state = r.state.settled(home, standby, r.camera.clock.Now())
		r.unsaved = true
		r.openAndClose()
	})
	r.logChoice()
	r.save()
}

// move changes which relays are home and standby, and passes on the state of a home that is new.
func (r *relays) move(change func()) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.mu.Lock()
	before := r.state.Home
	change()
	r.listed = nil
	moved, home := r.state.Home != before, *r.open[r.state.Home]
	r.mu.Unlock()
	if moved && home.known && r.camera.cfg.OnRelay != nil {
		r.camera.cfg.OnRelay(home.err)
	}
}
