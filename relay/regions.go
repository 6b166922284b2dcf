package relay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/signaling/region"
)

const (
	// readRegionsEvery is how often a running relay reads its map of regions again.
	readRegionsEvery = time.Hour

	// mapSoonOver is how long before a map expires the relay begins to warn, once every warnOfMapEvery.
	mapSoonOver    = 14 * 24 * time.Hour
	warnOfMapEvery = 24 * time.Hour

	// mapAhead is how far in the future a map may be dated, for clocks that are off. One dated later than that would
	// keep out every correctly dated one.
	mapAhead = 24 * time.Hour
)

// servedRegions holds the operator's map of regions as it is served.
type servedRegions struct {
	current atomic.Pointer[servedMap]

	mu     sync.Mutex // held while the map is read and replaced
	warned time.Time  // guarded by mu; when the log last warned that the map expires
}

type servedMap struct {
	region.Map
	wire     []byte
	operator ed25519.PublicKey
}

// RegionsExpire returns when the served map of regions expires, or the zero Time if none is served.
func (r *Relay) RegionsExpire() time.Time {
	if m := r.regions.current.Load(); m != nil {
		return m.NotAfter
	}
	return time.Time{}
}

// maxPageRegions bounds the regions to which the page may connect, because the header that says so must stay short.
const maxPageRegions = 64

// regionURLs returns the URLs of the map's first regions, to which the page may connect.
func (r *Relay) regionURLs() (urls []string) {
	m := r.regions.current.Load()
	if m == nil {
		return nil
	}
	for _, g := range m.Regions[:min(len(m.Regions), maxPageRegions)] {
		urls = append(urls, g.URL)
	}
	return urls
}

// loadRegions reads the map and serves it. It returns an error if the map cannot replace the current one.
func (r *Relay) loadRegions() error {
	wire, err := r.cfg.Regions()
	if err != nil {
		return err
	}
	now := time.Now()
	m, operator, err := region.Read(wire, now)
	if err != nil && !errors.Is(err, region.ErrExpired) { // devices may still try the regions of an expired map
		return err
	}

	r.regions.mu.Lock()
	defer r.regions.mu.Unlock()
	next, old := &servedMap{m, bytes.Clone(wire), operator}, r.regions.current.Load()
	ahead := next.checkIssued(now)
	if old != nil {
		if bytes.Equal(wire, old.wire) {
			r.shareTURN() // region.key may have been made since the last look
			return nil
		}
		if err := errors.Join(next.replaces(old, now), ahead); err != nil {
			return err
		}
	}

	r.regions.current.Store(next)
	log := r.regionsLog(next)
	log.Info("serving a map of regions", "regions", len(m.Regions))
	if ahead != nil { // at the start it may be this machine's clock that is wrong
		log.Warn("the map of regions may keep later ones out", "err", ahead)
	}
	if !slices.ContainsFunc(m.Regions, func(g region.Region) bool { return g.URL == r.url }) {
		log.Warn("the map of regions does not name this relay: devices will not choose it", "url", r.url)
	}
	r.regions.warned = time.Time{}
	r.warnOfExpiry(next)
	r.shareTURN()
	return nil
}

// replaces returns an error unless the map may take the place of one that is served. The rules are those of devices
// (doc/protocol.md, section 5.9).
func (m *servedMap) replaces(old *servedMap, now time.Time) error {
	if !m.operator.Equal(old.operator) {
		return errors.New("the map of regions is signed by another key than the one that is served: sign it with the " +
			"-state folder of the first, or restart the relay to change the operator")
	}
	if now.After(m.NotAfter) && !now.After(old.NotAfter) {
		return fmt.Errorf("the map of regions expired at %s, and the one that is served has not: sign a new one with "+
			"relay regions sign", m.NotAfter.Format(time.RFC3339))
	}
	if !m.Issued.After(old.Issued) && old.checkIssued(now) == nil {
		return fmt.Errorf("the map of regions was issued at %s, and the one that is served at %s: give this relay the "+
			"newest one, or sign it again", m.Issued.Format(time.RFC3339), old.Issued.Format(time.RFC3339))
	}
	return nil
}

func (m *servedMap) checkIssued(now time.Time) error {
	if m.Issued.After(now.Add(mapAhead)) {
		return fmt.Errorf("the map of regions was issued at %s, which is in the future: correct the clock of the "+
			"machine that signed it, and sign it again", m.Issued.Format(time.RFC3339))
	}
	return nil
}

// warnOfExpiry warns once a day of a map that expires soon, when it expires, and from then on once a day.
// r.regions.mu must be held.
func (r *Relay) warnOfExpiry(m *servedMap) {
	left := time.Until(m.NotAfter)
	justOver := left <= 0 && !r.regions.warned.After(m.NotAfter)
	if left >= mapSoonOver || time.Since(r.regions.warned) < warnOfMapEvery && !justOver {
		return
	}
	r.regions.warned = time.Now()
	if left <= 0 {
		r.regionsLog(m).Error("the map of regions has expired: sign a new one with relay regions sign")
		return
	}
	r.regionsLog(m).Warn("the map of regions expires soon: sign a new one with relay regions sign")
}

func (r *Relay) regionsLog(m *servedMap) *slog.Logger {
	return r.log.With("part", "regions", "until", m.NotAfter.Format(time.RFC3339))
}

// followRegions reads the map again every hour until ctx ends.
func (r *Relay) followRegions(ctx context.Context) error {
	ticker := time.NewTicker(readRegionsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}

		if err := r.loadRegions(); err != nil {
			r.log.Error("the map of regions could not be replaced; the old one stays in use", "err", err)
		}
		r.regions.mu.Lock()
		r.warnOfExpiry(r.regions.current.Load())
		r.regions.mu.Unlock()
	}
}

// serveRegions serves the map to anybody. A client is charged as for a file of the page.
func (r *Relay) serveRegions(w http.ResponseWriter, req *http.Request) {
	m := r.regions.current.Load()
	if m == nil {
		http.Error(w, "this relay serves no map of regions", http.StatusNotFound)
		return
	}
	if !affords(w, req, len(m.wire), r.places.chargeClient) {
		return
	}

	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Access-Control-Allow-Origin", "*") // the page may come from another region
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Content-Length", strconv.Itoa(len(m.wire)))
	if _, err := w.Write(m.wire); err != nil {
		r.log.Debug("send map of regions", "err", err)
	}
}
