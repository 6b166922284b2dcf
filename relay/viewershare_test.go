package relay

import (
	"crypto/ed25519"
	"testing"
)

// TestViewerLeavesHalfOfATicketsAllocations: through all mailboxes that a viewer can use at a time, it takes at most
// half of a ticket's allocations, at a relay of the default size.
func TestViewerLeavesHalfOfATicketsAllocations(t *testing.T) {
	const (
		mailboxes = 3 + 8 // those of three days, and of eight sessions
		session   = 2 * 16
	)
	for by, key := range map[string]ed25519.PublicKey{"open": nil,
		"ticket": make(ed25519.PublicKey, ed25519.PublicKeySize)} {
		l := turnLimits(&Config{Allocations: DefaultAllocations, TicketKey: key})
		ticket := min(l.Payers.Named.Max, l.Payers.Size/100*17)
		if viewer := int64(mailboxes * l.GroupAllocations); viewer > ticket/2+ticket/50 {
			t.Errorf("-admission %s: one viewer can have %d of the %d allocations of a ticket", by, viewer, ticket)
		}
		if l.GroupAllocations < session {
			t.Errorf("-admission %s: %d allocations are too few for one session", by, l.GroupAllocations)
		}
	}
}
