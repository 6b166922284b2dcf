package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/signaling/region"
)

// readRegionsEvery is how often a running relay reads its map of regions again.
const readRegionsEvery = time.Hour

// mapSoonOver is how long before its end the log begins to say that a map of regions is about to expire.
const mapSoonOver = 14 * 24 * time.Hour

// servedRegions holds the operator's map of regions as it is served.
type servedRegions struct {
	current atomic.Pointer[servedMap]
}

type servedMap struct {
	wire []byte
	region.Map
}

// RegionsExpire returns when the map of regions that the relay serves expires. It returns the zero Time if there is
// none.
func (r *Relay) RegionsExpire() time.Time {
	if m := r.regions.current.Load(); m != nil {
		return m.NotAfter
	}
	return time.Time{}
}

// loadRegions reads the map and serves it from now on. One that is older than the one that is served is an error.
func (r *Relay) loadRegions() error {
	wire, err := r.cfg.Regions()
	if err != nil {
		return err
	}
	m, _, err := region.Read(wire, time.Now())
	expired := errors.Is(err, region.ErrExpired) // devices may still try its regions
	if err != nil && !expired {
		return err
	}

	old := r.regions.current.Load()
	if old != nil && m.Issued.Before(old.Issued) {
		return fmt.Errorf("the map of regions was issued at %s, before the one that is served",
			m.Issued.Format(time.RFC3339))
	}
	r.regions.current.Store(&servedMap{wire, m})

	log := r.log.With("part", "regions", "until", m.NotAfter.Format(time.RFC3339))
	switch {
	case expired:
		log.Error("the map of regions has expired: sign a new one with relay regions sign")
	case time.Until(m.NotAfter) < mapSoonOver:
		log.Warn("the map of regions expires soon: sign a new one with relay regions sign")
	}
	if old == nil || !m.Issued.Equal(old.Issued) {
		log.Info("serving a map of regions", "regions", len(m.Regions))
	}
	if !slices.ContainsFunc(m.Regions, func(g region.Region) bool { return g.URL == r.url }) {
		log.Warn("the map of regions does not name this relay: devices will not choose it", "url", r.url)
	}
	return nil
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
			r.readRegionsAgain()
		}
	}
}

func (r *Relay) readRegionsAgain() {
	if err := r.loadRegions(); err != nil {
		r.log.Error("read map of regions; the old one stays in use", "err", err)
	}
}

// serveRegions tells anybody the operator's regions. Its cost is charged as that of a page's file is.
func (r *Relay) serveRegions(w http.ResponseWriter, req *http.Request) {
	m := r.regions.current.Load()
	if m == nil {
		http.Error(w, "this relay serves no map of regions", http.StatusNotFound)
		return
	}
	client, _ := netip.ParseAddrPort(req.RemoteAddr) // set by the door
	if work := int64(len(m.wire)) / workBytes; work > 0 && !r.places.chargeClient(client.Addr(), work) {
		http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
		return
	}

	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(m.wire)))
	if _, err := w.Write(m.wire); err != nil {
		r.log.Debug("tell regions", "err", err)
	}
}
