package relay

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/peephole-cam/peephole/signaling/region"
	"github.com/peephole-cam/peephole/turn"
)

// errOwnKey is returned for a map whose key for this region is not the region's own.
var errOwnKey = errors.New("the map of regions has another key for this region than its state folder: put what " +
	"relay regions key prints into regions.toml, and sign it again")

// shareTURN has the TURN server share keys with the regions of the served map, so that each grants access to the
// others. On an error it shares keys with none of them.
func (r *Relay) shareTURN() {
	m := r.regions.current.Load()
	if m == nil || r.turn == nil {
		return
	}
	if err := r.turn.share(m.Map, r.url, r.cfg.RegionKey); err != nil {
		r.regionsLog(m).Error("this relay grants no TURN in other regions, and they grant none here", "err", err)
	}
}

// share replaces the other regions. The map's region at relayURL is this one; read returns the seed of its key.
func (t *turnService) share(m region.Map, relayURL string, read func() ([]byte, error)) error {
	at := slices.IndexFunc(m.Regions, func(g region.Region) bool { return g.URL == relayURL })
	if at < 0 || m.Regions[at].Key == "" || read == nil {
		return t.shareWith(turn.RegionKey{}, nil)
	}

	seed, err := read()
	if err != nil {
		return errors.Join(err, t.shareWith(turn.RegionKey{}, nil))
	}
	own, err := turn.NewRegionKey(seed)
	if err == nil && region.KeyText(own.Public()) != m.Regions[at].Key {
		err = errOwnKey
	}
	if err != nil {
		return errors.Join(err, t.shareWith(turn.RegionKey{}, nil))
	}

	others := make(map[string]region.Region)
	for i, g := range m.Regions {
		if i != at && g.Key != "" {
			others[g.Name] = g
		}
	}
	return t.shareWith(own, others)
}

// shareWith shares keys with other regions, by name. If one of their keys is none, it shares keys with nobody.
func (t *turnService) shareWith(own turn.RegionKey, others map[string]region.Region) error {
	t.others.Store(nil)
	var keys [][]byte
	for _, g := range others {
		keys = append(keys, g.PublicKey())
	}
	if err := t.server.SetRegions(own, keys); err != nil {
		return errors.Join(fmt.Errorf("the map of regions: %w", err), t.server.SetRegions(turn.RegionKey{}, nil))
	}
	t.others.Store(&others)
	return nil
}

// other returns the region of a name, if this relay grants access to its TURN server.
func (t *turnService) other(name string) (region.Region, bool) {
	others := t.others.Load()
	if others == nil {
		return region.Region{}, false
	}
	g, ok := (*others)[name]
	return g, ok
}

// regionURLs returns the ICE server URLs of another region, as far as a map tells them: TURN over UDP, TCP, and TLS on
// the port of the region's relay.
func regionURLs(g region.Region) []string {
	urls := []string{"turn:" + g.TURN + "?transport=udp", "turn:" + g.TURN + "?transport=tcp"}
	if strings.HasPrefix(g.URL, "https://") {
		urls = append(urls, "turns:"+hostport(g.URL, "443")+"?transport=tcp")
	}
	if g.STUN != "" {
		urls = append(urls, "stun:"+g.STUN)
	}
	return urls
}
