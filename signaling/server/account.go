package server

import (
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

const (
	// grantsPerHour bounds the grants of an IPv6 /64. An IPv4 address, which may be a carrier's, has a share of all.
	grantsPerHour = 3600

	// A viewer must leave most of a camera's grants to others. One network may ask for a quarter of the grants of a
	// /64. It may ask for about the same share of those of an IPv4 address, behind which there may be as many viewers
	// as cameras.
	askerPerHour = 18_000
	hostAskCost  = askerPerHour / (grantsPerHour / 4)
)

// account is a payer, which is a source address or a ticket, together with the pools from which it pays.
type account struct {
	payer  netlimit.Payer
	class  *class
	addr   netip.Addr // folded
	ticket *ticket    // nil if the payer is an address
}

// samePayer reports whether two accounts belong to the same payer. A nil account has no payer.
func (a *account) samePayer(b *account) bool {
	return a != nil && b != nil && a.payer == b.payer && a.class == b.class
}

// turnName returns the name under which the TURN server limits a payer, or "" for a payer without limits.
func (a *account) turnName(s *Server) string {
	switch {
	case a.class == s.local:
		return ""
	case a.ticket != nil:
		return "ticket " + string(a.ticket.id[:])
	}
	return "address " + a.addr.String()
}

// chargeGrant charges the account for one grant. asking is the account of the client that asked for it.
func (a *account) chargeGrant(asking *account, now time.Time) error {
	if a.ticket != nil {
		return a.ticket.chargeGrant(asking.payer, now)
	}
	ask := int64(1)
	if !a.addr.Is4() {
		ask = hostAskCost
	}

	if err := a.class.askers.Charge(a.asker(asking), ask, now); err != nil {
		return err
	}
	return a.class.grants.Charge(a.payer, 1, now)
}

// asker returns the payer for one network's requests for this address's grants. The coarsest network counts, since a
// viewer may have many links.
func (a *account) asker(asking *account) netlimit.Payer {
	networks := netlimit.Folds(asking.addr)
	network := networks[0]
	if coarsest := networks[len(networks)-1]; coarsest.IsValid() {
		network = coarsest
	}
	sum := sha256.Sum256([]byte(a.addr.String() + " " + network.String()))
	return netlimit.Named([16]byte(sum[:16]))
}
