package turn

import (
	"maps"
	"net/netip"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

// share is what the allocations of one payer or one address have in common.
type share struct {
	allocations int // guarded by relay.mu
	bucket      tokenBucket
}

// isIdle reports whether a share is no different from a new one.
func (s *share) isIdle(now time.Duration) bool {
	return s.allocations == 0 && s.bucket.isFull(now)
}

// shares are those of all payers and addresses with allocations. A share is made with the first allocation. It is
// forgotten with the last, or within seconds of it, when its bucket is full again: otherwise a client that makes one
// allocation after another would have no limit. relay.mu must be held.
type shares struct {
	swept   time.Duration
	payers  map[payerKey]*share
	clients map[netip.Prefix]*share // as netlimit folds addresses
}

// payerKey names a payer for as long as a secret lasts. Under the next secret the payer starts anew, so while both
// secrets hold, a payer may have its limits twice.
type payerKey struct {
	payer payerID
	key   keyID
}

func newShares() shares {
	return shares{payers: make(map[payerKey]*share), clients: make(map[netip.Prefix]*share)}
}

// sweep forgets idle shares, once a second at most.
func (s *shares) sweep(now time.Duration) {
	if now-s.swept < time.Second {
		return
	}
	s.swept = now
	maps.DeleteFunc(s.payers, func(_ payerKey, of *share) bool { return of.isIdle(now) })
	maps.DeleteFunc(s.clients, func(_ netip.Prefix, of *share) bool { return of.isIdle(now) })
}

// acquire counts an allocation, and returns the share that it belongs to: a payer's, an address', or none.
func (s *shares) acquire(u username, client netip.Addr, l *Limits, now time.Duration) (payer, address *share) {
	s.sweep(now)
	switch {
	case u.payer != (payerID{}):
		payer = acquireShare(s.payers, payerKey{u.payer, u.key})
	case !l.unlimited(client):
		address = acquireShare(s.clients, netlimit.Fold(client))
	}
	return payer, address
}

func acquireShare[K comparable](in map[K]*share, k K) *share {
	s := in[k]
	if s == nil {
		s = new(share)
		in[k] = s
	}
	s.allocations++
	return s
}

// release undoes acquire.
func (s *shares) release(b *binding, now time.Duration) {
	if b.payer != nil {
		releaseShare(s.payers, payerKey{b.user.payer, b.user.key}, b.payer, now)
	}
	if b.address != nil {
		releaseShare(s.clients, netlimit.Fold(b.client().Addr()), b.address, now)
	}
}

func releaseShare[K comparable](in map[K]*share, k K, s *share, now time.Duration) {
	if s.allocations--; s.isIdle(now) {
		delete(in, k)
	}
}
