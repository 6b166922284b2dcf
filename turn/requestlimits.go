package turn

import (
	"net/netip"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

// A request that reaches pion costs some ten microseconds, and pion handles those over UDP one by one. So requests are
// bounded: for clients without an allocation by address, where one too many must cost next to nothing, and for clients
// with an allocation by who owns it.

// strangerBurst is how many seconds' worth of requests an address may make at once.
const strangerBurst = 4

// strangerFolds is how many times as many requests a /56 and a /48 may make as a /64.
var strangerFolds = [netlimit.Levels]uint32{1, 2, 8}

// A connection ends when its client has sent maxTries messages and has no allocation, or has shown maxFailures wrong
// passwords. To go on, the client has to connect again, and pay for that.
const (
	maxTries    = 32
	maxFailures = 4
)

// requestLimits bound the requests that clients may make.
type requestLimits struct {
	limits    *Limits
	strangers *meter         // of clients without an allocation; nil: no limit
	owners    *netlimit.Rate // of clients with one, by who owns it; nil: no limit
	groups    *netlimit.Rate // of those that somebody pays for, also by their groups; nil: no limit
}

func newRequestLimits(l *Limits, now time.Time) requestLimits {
	r := requestLimits{limits: l}
	if n := uint32(l.AddressRequests); n > 0 {
		r.strangers = newMeter(strangerBurst*n, n, strangerFolds, now)
	}
	if l.Requests.Size > 0 {
		r.owners = netlimit.NewRate(l.Requests, time.Second)
	}
	if n := int64(l.GroupRequests); n > 0 {
		named := netlimit.Share{Max: n, Min: n}
		r.groups = netlimit.NewRate(netlimit.Config{Size: n << 20, Named: named}, time.Second)
	}
	return r
}

// allow reports whether a client may make one more request, and counts it. A nil allocation means that the client has
// none.
func (r *requestLimits) allow(a *allocation, client netip.Addr, now time.Time) bool {
	if r.limits.unlimited(client) {
		return true
	}

	if a != nil {
		if b := a.bound.Load(); b != nil {
			return r.allowGroup(b, now) &&
				(r.owners == nil || r.owners.Charge(payerOf(b.user, client), 1, now) == nil)
		}
	}
	return r.strangers == nil || r.strangers.spend(client, 0, 1, now)
}

// allowGroup reports whether a session's group may make one more request, and counts it. This way one viewer leaves
// most of the requests of its camera's ticket to the others.
func (r *requestLimits) allowGroup(b *binding, now time.Time) bool {
	if r.groups == nil || b.user.payer == (payerID{}) {
		return true
	}
	var name [16]byte
	group := groupOf(b.user, b.issuer)
	copy(name[copy(name[:], group.id[:]):], group.key[:])
	return r.groups.Charge(netlimit.Named(name), 1, now) == nil
}
