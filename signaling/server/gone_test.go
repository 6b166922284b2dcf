package server

import (
	"crypto/ed25519"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// ledger is a granter that notes who pays for grants, and what is revoked.
type ledger struct {
	mu      sync.Mutex
	charged []string         // guarded by mu
	revoked []signaling.Name // guarded by mu
}

func (l *ledger) Revoke(through signaling.Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revoked = append(l.revoked, through)
}

func (l *ledger) Grant(payer string, _ signaling.Name, _ string, _ time.Time) (signaling.Grant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.charged = append(l.charged, payer)
	return signaling.Grant{TTL: 60}, nil
}

func (l *ledger) ended() []signaling.Name {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.revoked)
}

// last returns the payer of the last grant.
func (l *ledger) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.charged) == 0 {
		return "nobody"
	}
	return l.charged[len(l.charged)-1]
}

// operator starts a relay that needs tickets, and returns a function that issues them.
func operator(t *testing.T) (e *endpoint, issue func(id byte, mailboxes uint32) []byte) {
	t.Helper()
	return operatorWith(t, granter{})
}

func operatorWith(t *testing.T, g Granter) (e *endpoint, issue func(id byte, mailboxes uint32) []byte) {
	t.Helper()
	_, key, _ := ed25519.GenerateKey(nil)
	e = start(t, Config{TicketKey: key.Public().(ed25519.PublicKey), Granter: g})
	return e, func(id byte, mailboxes uint32) []byte {
		return signaling.Ticket{
			ID:              [16]byte{id},
			NotAfter:        time.Now().Add(time.Hour),
			Mailboxes:       mailboxes,
			SessionsPerHour: 600,
		}.Issue(key)
	}
}

func with(mb signaling.Mailbox, ticket []byte) signaling.Mailbox {
	mb.Ticket = ticket
	return mb
}

func (w *wire) revoke(mb signaling.Mailbox) signaling.Code {
	w.t.Helper()
	return w.ask(signaling.Revoke{ID: 3, Name: mb.Name()})
}

func (w *wire) grant(mb signaling.Mailbox) signaling.Code {
	w.t.Helper()
	return w.ask(signaling.GrantRequest{ID: 4, Name: mb.Name()})
}

// TestRevokedMailboxCostsNothing: a camera removes a viewer, who stays connected and keeps trying.
func TestRevokedMailboxCostsNothing(t *testing.T) {
	e, issue := operator(t)
	ticket, mb := issue(1, 1), newMailbox()
	camera, viewer := e.wire(t), e.wire(t)
	want(t, "the viewer opens", viewer.open(mb, signaling.Write), 0)
	want(t, "the camera opens", camera.open(with(mb, ticket), signaling.Read), 0)
	want(t, "the viewer leaves a message for a day", viewer.post(mb, 1, signaling.MaxTTL), 0)
	want(t, "the viewer asks for a grant", viewer.grant(mb), 0)

	want(t, "the viewer revokes what it does not pay for", viewer.revoke(mb), signaling.CodeNotOpened)
	want(t, "the camera revokes", camera.revoke(mb), 0)
	if n := e.store.waiting(mb.Name(), time.Now()); n != 0 {
		t.Errorf("%d messages still wait", n)
	}
	if n := e.Stats.StoredBytes.Load(); n != 0 {
		t.Errorf("%d bytes are still charged", n)
	}

	for _, word := range []string{"", signaling.PairingTicket} {
		want(t, "the viewer opens it again", viewer.open(with(mb, []byte(word)), signaling.Write), 0)
		want(t, "and posts", viewer.post(mb, 1, 60), signaling.CodeNotAdmitted)
		want(t, "and asks for a grant", viewer.grant(mb), signaling.CodeNotAdmitted)
	}

	want(t, "the quota of one is free", camera.open(with(newMailbox(), ticket), signaling.Write), 0)
	if used, both := e.tickets.class.mailboxes.Used(), int64(2*openedCost); used != ticketCost+boxCost+both {
		t.Errorf("%d bytes are charged to the ticket, want one mailbox, and two open on its connection", used)
	}
}

// TestSessionsEndWithTheAdmissionThatPaysForThem: a viewer's grants end when the camera revokes or closes the mailbox.
// Only the payer can end them.
func TestSessionsEndWithTheAdmissionThatPaysForThem(t *testing.T) {
	for name, end := range map[string]func(c *wire, mb signaling.Mailbox) signaling.Code{
		"revoked": (*wire).revoke,
		"closed": func(c *wire, mb signaling.Mailbox) signaling.Code {
			c.send(signaling.Close{Name: mb.Name()})
			return c.open(newMailbox(), signaling.Read) // its answer comes after the Close is handled
		},
	} {
		t.Run(name, func(t *testing.T) {
			granted := new(ledger)
			e, issue := operatorWith(t, granted)
			mb := newMailbox()
			camera, viewer := e.wire(t), e.wire(t)
			want(t, "the camera opens", camera.open(with(mb, issue(1, 1)), signaling.Read), 0)
			want(t, "the viewer opens", viewer.open(mb, signaling.Write), 0)
			want(t, "the viewer asks for a grant", viewer.grant(mb), 0)

			end(viewer, mb)
			if ended := granted.ended(); len(ended) != 0 {
				t.Error("the viewer ended what the camera pays for")
			}
			want(t, "the camera ends it", end(camera, mb), 0)
			if ended := granted.ended(); !slices.Equal(ended, []signaling.Name{mb.Name()}) {
				t.Errorf("grants through %x have ended, want those through the mailbox", ended)
			}
		})
	}
}

// TestClosedMailboxKeepsTheOwnersWordAlone: if a camera ends a session, its own last messages stay for two minutes. The
// viewer's messages are gone, and take up no mailbox that other viewers need.
func TestClosedMailboxKeepsTheOwnersWordAlone(t *testing.T) {
	e, issue := operator(t)
	ticket, mb := issue(1, 1), newMailbox()
	camera, viewer := e.wire(t), e.wire(t)
	want(t, "the camera opens", camera.open(with(mb, ticket), signaling.Write), 0)
	want(t, "the viewer opens", viewer.open(mb, signaling.Write), 0)
	want(t, "the viewer leaves a message for a day", viewer.post(mb, 1, signaling.MaxTTL), 0)
	want(t, "the camera leaves one too", camera.post(mb, 2, signaling.MaxTTL), 0)

	camera.send(signaling.Close{Name: mb.Name()})
	want(t, "the camera opens another mailbox", camera.open(with(newMailbox(), ticket), signaling.Write), 0)
	want(t, "the viewer posts", viewer.post(mb, 1, 60), signaling.CodeNotAdmitted)
	want(t, "the viewer asks for a grant", viewer.grant(mb), signaling.CodeNotAdmitted)
	want(t, "the viewer opens it as a rendezvous",
		viewer.open(with(mb, []byte(signaling.PairingTicket)), signaling.Write), 0)
	want(t, "and posts", viewer.post(mb, 1, 60), signaling.CodeNotAdmitted)

	viewer.send(signaling.SignOpen(viewer.url, viewer.nonce, mb, signaling.Read))
	if m := viewer.delivery(); len(m.Body) != 2 {
		t.Errorf("a message of %d bytes was left, want the camera's of 2", len(m.Body))
	}
	if e.store.waiting(mb.Name(), time.Now().Add(2*time.Minute)) != 0 {
		t.Error("the camera's message outlives its two minutes")
	}

	e.store.sweep(time.Now().Add(2 * time.Minute))
	if b := e.store.box(mb.Name()); b.payer != nil {
		t.Errorf("the mailbox is still admitted: %+v", b)
	}
}

// TestOnlyTheOwnerClosesForAll: anybody with the keys may close a mailbox, but that ends only their own hold on it.
func TestOnlyTheOwnerClosesForAll(t *testing.T) {
	e, issue := operator(t)
	mb := newMailbox()
	camera, viewer, other := e.wire(t), e.wire(t), e.wire(t)
	want(t, "the camera opens", camera.open(with(mb, issue(1, 1)), signaling.Read), 0)
	want(t, "the viewer opens", viewer.open(mb, signaling.Write), 0)
	want(t, "another one opens", other.open(mb, signaling.Write), 0)
	want(t, "the other one posts", other.post(mb, 1, 60), 0)

	other.send(signaling.Close{Name: mb.Name()})
	want(t, "the other one posts on", other.post(mb, 1, 60), signaling.CodeNotOpened)
	want(t, "the viewer posts", viewer.post(mb, 1, 60), 0)
	if n := e.store.waiting(mb.Name(), time.Now()); n != 2 {
		t.Errorf("%d messages wait, want both", n)
	}
	want(t, "the viewer asks for a grant", viewer.grant(mb), 0)
}

// TestGrantsNeedWhoPaysForThem: while the camera is away, no session is possible, and its ticket pays for none.
func TestGrantsNeedWhoPaysForThem(t *testing.T) {
	e, issue := operator(t)
	mb := newMailbox()
	camera, viewer := e.wire(t), e.wire(t)
	want(t, "the camera opens", camera.open(with(mb, issue(1, 1)), signaling.Read), 0)
	want(t, "the viewer opens", viewer.open(mb, signaling.Write), 0)
	want(t, "the viewer asks for a grant", viewer.grant(mb), 0)

	camera.ws.CloseNow()
	until(t, "the camera's connection has ended", func() bool { return e.Stats.Connections.Load() == 1 })
	want(t, "the viewer asks for a grant", viewer.grant(mb), signaling.CodeNotAdmitted)
	want(t, "the viewer leaves a message", viewer.post(mb, 1, 60), 0)

	back := e.wire(t)
	want(t, "the camera comes back", back.open(with(mb, issue(1, 1)), signaling.Read), 0)
	want(t, "the viewer asks for a grant", viewer.grant(mb), 0)
}

// TestRenewedTicketPaysOn: once a camera has come back with another ticket, that one pays.
func TestRenewedTicketPaysOn(t *testing.T) {
	e, issue := operator(t)
	mb := newMailbox()
	camera, viewer := e.wire(t), e.wire(t)
	want(t, "the camera opens", camera.open(with(mb, issue(1, 1)), signaling.Read), 0)
	want(t, "the viewer opens", viewer.open(mb, signaling.Write), 0)
	camera.ws.CloseNow()
	until(t, "the camera's connection has ended", func() bool { return e.Stats.Connections.Load() == 1 })
	want(t, "the viewer leaves a message", viewer.post(mb, 1, 60), 0)

	want(t, "the camera opens with another ticket", e.wire(t).open(with(mb, issue(2, 1)), signaling.Read), 0)
	want(t, "the viewer asks for a grant", viewer.grant(mb), 0)
	if b := e.store.box(mb.Name()); b.payer.ticket.id[0] != 2 || b.messages.count != 1 {
		t.Errorf("ticket %d pays, %d messages wait", b.payer.ticket.id[0], b.messages.count)
	}
}

// TestRemovedViewerPaysForItself tests the same at a relay that admits everyone, where the camera's address pays while
// the camera reads.
func TestRemovedViewerPaysForItself(t *testing.T) {
	for name, remove := range map[string]func(camera *wire, mb signaling.Mailbox){
		"revoked": func(camera *wire, mb signaling.Mailbox) { want(camera.t, "revoke", camera.revoke(mb), 0) },
		"closed": func(camera *wire, mb signaling.Mailbox) {
			camera.send(signaling.Close{Name: mb.Name()})
			want(camera.t, "an open after the close", camera.open(newMailbox(), signaling.Read), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			paid := new(ledger)
			e := start(t, Config{Granter: paid})
			mb := newMailbox()
			viewer := e.wireFrom(t, "192.0.2.2")
			want(t, "the viewer opens", viewer.open(mb, signaling.Write), 0)
			want(t, "the viewer asks for a grant", viewer.grant(mb), 0)
			if got := paid.last(); got != "address 192.0.2.2" {
				t.Errorf("before the camera has come, %s pays", got)
			}

			camera := e.wireFrom(t, "192.0.2.1")
			want(t, "the camera opens", camera.open(mb, signaling.Read), 0)
			want(t, "the viewer asks for a grant", viewer.grant(mb), 0)
			if got := paid.last(); got != "address 192.0.2.1" {
				t.Errorf("while the camera reads, %s pays", got)
			}

			remove(camera, mb)
			want(t, "the viewer opens it again", viewer.open(mb, signaling.Write), 0)
			want(t, "and asks for a grant", viewer.grant(mb), 0)
			if got := paid.last(); got != "address 192.0.2.2" {
				t.Errorf("after the removal, %s pays", got)
			}
		})
	}
}

// TestWhoStaysPaysForWhoCloses: at a relay that admits everyone, if a mailbox's reader closes it, another holder pays
// for it.
func TestWhoStaysPaysForWhoCloses(t *testing.T) {
	e := start(t, Config{})
	mb, viewer, camera := newMailbox(), e.wireFrom(t, "192.0.2.2"), e.wireFrom(t, "192.0.2.1")
	want(t, "the camera opens", camera.open(mb, signaling.Read), 0)
	want(t, "the viewer opens", viewer.open(mb, signaling.Write), 0)
	camera.send(signaling.Close{Name: mb.Name()})
	want(t, "an open after the close", camera.open(newMailbox(), signaling.Read), 0)

	want(t, "the viewer posts", viewer.post(mb, 1, 60), 0)
	if b := e.store.box(mb.Name()); b.payer.addr.String() != "192.0.2.2" {
		t.Errorf("%v pays", b.payer.addr)
	}
}
