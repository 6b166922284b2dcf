package camera

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/peephole-cam/peephole/session"
)

// listFor returns the list for a viewer that holds one of a version, or nil if that is the present one.
func (r *relays) listFor(held []byte) *session.RelayList {
	list := r.list()
	if string(held) == string(list.Version) {
		return nil
	}
	return list
}

// list returns what viewers learn. Nobody may change it.
func (r *relays) list() *session.RelayList {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listed == nil {
		r.listed = r.makeList()
	}
	return r.listed
}

// makeList makes what viewers learn. r.mu must be held.
func (r *relays) makeList() *session.RelayList {
	names := make(map[string]string)
	for _, g := range r.state.regions(r.camera.clock.Now()) {
		names[g.URL] = g.Name
	}
	place := func(url string) session.Place { return session.Place{Name: names[url], URL: url} }

	list := &session.RelayList{
		Home:     place(r.state.Home),
		Seed:     r.state.Seed,
		Operator: r.state.Operator,
		TURN:     r.legs,
	}
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
