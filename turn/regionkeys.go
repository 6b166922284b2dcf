package turn

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// labelRegions begins the info from which the secret of two regions is derived for one day.
const labelRegions = "peephole turn regions v1"

// maxRegionSkew is how far another region's clock may be ahead of ours. A credential from there that expires more than
// MaxTTL + maxRegionSkew from now is refused: an honest region never makes one.
const maxRegionSkew = 24 * time.Hour

// RegionKeySize is the size of a region's private key and of its public key, in bytes.
const RegionKeySize = 32

// RegionKey is the private key of a region (X25519, RFC 7748). With the public key of another region it makes the
// secrets that those two share, so no secret leaves the machine on which it was made.
type RegionKey struct{ private *ecdh.PrivateKey }

// NewRegionKey returns the key with a seed, which must be RegionKeySize uniformly random bytes. Any other size is
// ErrSecret.
func NewRegionKey(seed []byte) (RegionKey, error) {
	private, err := ecdh.X25519().NewPrivateKey(seed)
	if err != nil {
		return RegionKey{}, fmt.Errorf("%d bytes, want %d: %w", len(seed), RegionKeySize, ErrSecret)
	}
	return RegionKey{private}, nil
}

// Public returns the public key, by which the other regions know this one.
func (k RegionKey) Public() []byte { return k.private.PublicKey().Bytes() }

// LogValue keeps the key out of logs.
func (k RegionKey) LogValue() slog.Value { return slog.StringValue("redacted") }

// region is another region. A nil one is this region itself.
type region struct {
	key    regionPublicKey
	shared []byte // what X25519 gives with our key
}

type regionPublicKey [RegionKeySize]byte

// regionKeys are what this region shares with others. Each pair of regions has one secret for each direction and day
// (UTC), with which one of them, the issuer, makes credentials that the other accepts. So whoever steals a region's key
// makes credentials at others in its name alone, until they no longer list it. At that region itself, the thief makes
// them in the name of every other region, until its key is replaced.
type regionKeys struct {
	mu       sync.Mutex
	own      regionPublicKey             // guarded by mu
	others   map[regionPublicKey]*region // guarded by mu
	day      uint32                      // guarded by mu; for which accepted was made
	accepted map[keyID]foreignKey        // guarded by mu; nil: to be made anew
}

// foreignKey is a key with which another region makes credentials for this one.
type foreignKey struct {
	key
	issuer *region
}

// set replaces the other regions. own may be zero if there are none. It returns ErrSecret for a public key that is
// none, and then changes nothing.
func (r *regionKeys) set(own RegionKey, others [][]byte) error {
	regions := make(map[regionPublicKey]*region)
	for _, other := range others {
		public, err := ecdh.X25519().NewPublicKey(other)
		if err != nil {
			return fmt.Errorf("a region's public key has %d bytes, want %d: %w", len(other), RegionKeySize, ErrSecret)
		}
		secret, err := own.private.ECDH(public)
		if err != nil { // a point of low order: everybody would know the secret
			return fmt.Errorf("a region's public key: %w: %w", err, ErrSecret)
		}
		regions[regionPublicKey(other)] = &region{regionPublicKey(other), secret}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own = (regionPublicKey{}); own.private != nil {
		r.own = regionPublicKey(own.Public())
	}
	r.others, r.accepted = regions, nil
	return nil
}

// lists reports whether credentials of an issuer still count. They do not if the issuer is no longer named, or if our
// own key has changed: whoever stole the old key could have made them in any region's name.
func (r *regionKeys) lists(by *region) bool {
	if by == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	named := r.others[by.key]
	return named != nil && bytes.Equal(named.shared, by.shared)
}

// toward returns the key with which this region makes credentials for another.
func (r *regionKeys) toward(other []byte, now time.Time) (key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(other) != RegionKeySize || r.others[regionPublicKey(other)] == nil {
		return key{}, errUnknownKey
	}
	at := r.others[regionPublicKey(other)]
	return dayKey(at.shared, r.own, at.key, dayOf(now))
}

// from returns a key with which another region makes credentials for this one: that of today, yesterday or tomorrow,
// since a credential may be older than midnight, and clocks differ.
func (r *regionKeys) from(id keyID, now time.Time) (foreignKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if day := dayOf(now); r.accepted == nil || r.day != day {
		r.accept(day)
	}
	k, ok := r.accepted[id]
	return k, ok
}

// accept makes the keys that are accepted on a day. r.mu must be held.
func (r *regionKeys) accept(day uint32) {
	r.day, r.accepted = day, make(map[keyID]foreignKey)
	for _, by := range r.others {
		for _, d := range []uint32{day - 1, day, day + 1} {
			if k, err := dayKey(by.shared, by.key, r.own, d); err == nil {
				r.accepted[k.id] = foreignKey{k, by}
			}
		}
	}
}

// dayOf returns the day of a time, counted from 1970 in UTC.
func dayOf(t time.Time) uint32 { return uint32(t.Unix() / (24 * 60 * 60)) }

// dayKey derives the key with which the region by makes credentials for the region at, from what both share.
func dayKey(shared []byte, by, at regionPublicKey, day uint32) (key, error) {
	info := append(append([]byte(labelRegions), by[:]...), at[:]...)
	secret, err := hkdf.Key(sha256.New, shared, nil, string(binary.BigEndian.AppendUint32(info, day)), MinSecret)
	if err != nil {
		return key{}, fmt.Errorf("derive secret of two regions: %w", err)
	}
	return deriveKey(secret)
}

// SetRegions has the server share keys with other regions, given its own key and their public keys. It replaces those
// that there were: what a region granted that is no longer named ends at once. Without others, own may be zero.
// SetRegions returns ErrSecret for a public key that is none, and then changes nothing.
func (s *Server) SetRegions(own RegionKey, others [][]byte) error {
	keys := &s.config.Keys.regions
	if err := keys.set(own, others); err != nil { // first, so that an allocation which is being made meets this or end
		return err
	}
	for _, a := range s.relay.boundAllocations() {
		if b := a.bound.Load(); b != nil && !keys.lists(b.issuer) {
			a.end()
		}
	}
	return nil
}

func (r *relay) boundAllocations() (all []*allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		all = append(append(all, s.allocations(camera)...), s.allocations(viewer)...)
	}
	return all
}

// GrantAt is GrantThrough for a session at the TURN server of another region, which Server.SetRegions has named by
// this public key. Server.Revoke does not end the session there. GrantAt returns ErrTTL, or an error for a region that
// it does not know.
func (k *Keys) GrantAt(region []byte, payer, through string, now time.Time, ttl time.Duration) (Grant, error) {
	if err := checkTTL(ttl); err != nil {
		return Grant{}, err
	}
	toward, err := k.regions.toward(region, now)
	if err != nil {
		return Grant{}, err
	}

	u := toward.username(payer, now.Add(ttl))
	if through != "" { // so that the other region bounds, too, what goes through one mailbox
		group := toward.group(through)
		copy(u.session[:], group[:])
	}
	return toward.grant(u), nil
}
