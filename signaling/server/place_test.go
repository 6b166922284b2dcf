package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
)

// gate records the payers for whom it was called, and refuses everybody while it is shut.
type gate struct {
	mu   sync.Mutex
	shut bool
	paid []netlimit.Payer
}

func (g *gate) place(*http.Request) func(netlimit.Payer) error {
	return func(who netlimit.Payer) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.shut {
			return netlimit.ErrFull
		}
		g.paid = append(g.paid, who)
		return nil
	}
}

func (g *gate) told() []netlimit.Payer {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.paid)
}

func TestConnectionIsAdmittedByWhoeverPays(t *testing.T) {
	operatorKey, operator, _ := ed25519.GenerateKey(rand.Reader)
	ticket := signaling.Ticket{ID: [16]byte{7}, NotAfter: time.Now().Add(time.Hour), Mailboxes: 10}
	var g gate
	e := start(t, Config{TicketKey: operatorKey, Place: g.place})
	address, named := netlimit.PayerOf(netip.MustParseAddr("127.0.0.1")), netlimit.Named(ticket.ID)

	c := e.client(t)
	owned := newMailbox()
	owned.Ticket = ticket.Issue(operator)
	for _, mb := range []signaling.Mailbox{newMailbox(), newMailbox(), owned, newMailbox(), owned} {
		err := c.Send(t.Context(), mb, []byte("x"), 0)
		waits := err != nil && strings.Contains(err.Error(), "404")
		if err != nil && !waits || waits != (mb.Ticket == nil) {
			t.Fatalf("ticket %v: %v", mb.Ticket != nil, err)
		}
	}

	if told := g.told(); !slices.Equal(told, []netlimit.Payer{address, named}) {
		t.Errorf("called for %v", told)
	}
}

func TestConnectionWithoutAPlaceOpensNothing(t *testing.T) {
	g := gate{shut: true}
	e := start(t, Config{Place: g.place})
	err := e.client(t).Send(t.Context(), newMailbox(), []byte("x"), 0)
	if err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("without a place: %v", err)
	}

	if n := e.Stats.Opened.Load(); n != 0 {
		t.Errorf("%d mailboxes were opened", n)
	}
}

// TestConnectionShowsSixteenTickets: a connection may show only sixteen tickets, because each costs a signature check
// and some memory.
func TestConnectionShowsSixteenTickets(t *testing.T) {
	operatorKey, operator, _ := ed25519.GenerateKey(rand.Reader)
	until := time.Now().Add(time.Hour)
	owned := func(id byte) signaling.Mailbox {
		mb := newMailbox()
		mb.Ticket = signaling.Ticket{ID: [16]byte{id}, NotAfter: until, Mailboxes: 2}.Issue(operator)
		return mb
	}

	e := start(t, Config{TicketKey: operatorKey})
	w := e.wire(t)
	for id := range byte(16) {
		want(t, "open with another ticket", w.open(owned(id), signaling.Write), 0)
	}

	want(t, "a seventeenth ticket", w.open(owned(16), signaling.Write), signaling.CodeQuota)
	want(t, "a ticket that was shown", w.open(owned(15), signaling.Write), 0)
	want(t, "the seventeenth, on a connection of its own", e.wire(t).open(owned(16), signaling.Write), 0)

	want(t, "more mailboxes than a ticket's", w.open(owned(15), signaling.Write), signaling.CodeQuota)
	if n := e.Stats.RefusedMailboxes.Load(); n != 1 {
		t.Errorf("%d refused mailboxes were counted, want 1", n)
	}
}
