package turn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

var errRevoked = errors.New("credential was revoked")

// groupID names all sessions that were granted through one mailbox, so that they can be ended together. It is the first
// half of their ids. It is made with a key of this process alone, so it reveals nothing about the mailbox.
type groupID [8]byte

// group returns the group of a session. A session without a group has one to itself, since its whole id is random.
func (s sessionID) group() groupID { return groupID(s[:len(groupID{})]) }

// groupName names a group among those of all regions, so that no region can name a session into a group of another.
type groupName struct {
	id  groupID
	key keyID // of its credentials, if another region issued them; zero for our own, which outlive our secrets
}

// groupOf returns the group of a session whose credentials a region issued.
func groupOf(u username, by *region) groupName {
	name := groupName{id: u.session.group()}
	if by != nil {
		name.key = u.key
	}
	return name
}

// groups are those whose credentials can still make allocations.
type groups struct {
	key []byte // never replaced: allocations outlive secrets

	mu      sync.Mutex
	granted map[groupID]*granted // guarded by mu
	sweepAt int                  // guarded by mu; at how many groups to look for those that have expired
}

// granted is what was granted in one group. Times are Unix seconds, as in usernames.
type granted struct {
	expires      int64 // when the last credential does
	revokedUntil int64 // credentials that expire until then are revoked
}

// minSweep is how many groups are too few to be searched.
const minSweep = 64

func newGroups() groups {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return groups{key: key, granted: make(map[groupID]*granted)}
}

// id returns the group of all sessions that are granted through something, given its name.
func (g *groups) id(through string) (id groupID) {
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(through))
	copy(id[:], mac.Sum(nil))
	return id
}

// addCredential notes a credential of a group, and returns when it expires: as asked for, but after all that were
// revoked.
func (g *groups) addCredential(id groupID, expiry int64, now time.Time) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.sweep(now)
	one := g.granted[id]
	if one == nil {
		one = new(granted)
		g.granted[id] = one
	}
	expiry = max(expiry, one.revokedUntil+1)
	one.expires = max(one.expires, expiry)
	return expiry
}

// sweep forgets groups whose credentials have all expired. g.mu must be held.
func (g *groups) sweep(now time.Time) {
	if len(g.granted) < g.sweepAt {
		return
	}
	for id, one := range g.granted {
		if one.expires <= now.Unix() {
			delete(g.granted, id)
		}
	}
	g.sweepAt = 2*len(g.granted) + minSweep
}

// revoke makes all present credentials of a group useless for new allocations.
func (g *groups) revoke(id groupID) {
	g.mu.Lock()
	defer g.mu.Unlock()

	if one := g.granted[id]; one != nil {
		one.revokedUntil = one.expires
	}
}

func (g *groups) isRevoked(u username) bool {
	g.mu.Lock()
	defer g.mu.Unlock()

	one := g.granted[u.session.group()]
	return one != nil && u.expiry <= one.revokedUntil
}

// Revoke ends all sessions that were granted through something so far (see Keys.GrantThrough): it closes their
// allocations at once, and their credentials make no new ones. Other processes that accept these credentials do not
// hear of it.
func (s *Server) Revoke(through string) {
	keys := s.config.Keys
	id := keys.groups.id(through)
	keys.groups.revoke(id) // first, so that an allocation which is being made meets this or endGroup
	s.relay.endGroup(id)
}

// endGroup closes the allocations of a group, and the connections that reach them, which count for the same payer.
func (r *relay) endGroup(id groupID) {
	for _, a := range r.groupAllocations(id) {
		a.end()
	}
}

// end closes the allocation, and the connection that reaches it.
func (a *allocation) end() {
	b := a.bound.Load()
	a.Close()
	if b != nil && b.stream != nil {
		b.stream.abort()
	}
}

func (r *relay) groupAllocations(id groupID) []*allocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.groups[groupName{id: id}]))
}

// joinGroup adds an allocation to its group, if somebody pays for it: no other can be revoked. r.mu must be held.
func (r *relay) joinGroup(b *binding, a *allocation) {
	if b.user.payer == (payerID{}) {
		return
	}

	name := groupOf(b.user, b.issuer)
	if r.groups[name] == nil {
		r.groups[name] = make(map[*allocation]struct{})
	}
	r.groups[name][a] = struct{}{}
}

// leaveGroup takes an allocation out of its group. r.mu must be held.
func (r *relay) leaveGroup(b *binding, a *allocation) {
	name := groupOf(b.user, b.issuer)
	delete(r.groups[name], a)
	if len(r.groups[name]) == 0 {
		delete(r.groups, name)
	}
}

// groupIsFull reports whether a session's group has as many allocations as it may. r.mu must be held.
func (r *relay) groupIsFull(u username, by *region) bool {
	limit := r.limits.GroupAllocations
	return limit > 0 && len(r.groups[groupOf(u, by)]) >= limit
}
