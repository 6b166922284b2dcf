package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// TestViewerLeavesTheOthersTheirQuota: in the mailbox of every session that it can begin, a viewer leaves a message for
// a day. The camera can still serve all other viewers.
func TestViewerLeavesTheOthersTheirQuota(t *testing.T) {
	const mailboxes = 16
	e, issue := operator(t)
	ticket := issue(1, mailboxes)
	camera, viewer := e.wire(t), e.wire(t)
	for range 4 * mailboxes {
		mb := newMailbox()
		want(t, "the camera opens a session's mailbox", camera.open(with(mb, ticket), signaling.Read), 0)
		want(t, "the viewer opens it", viewer.open(mb, signaling.Write), 0)
		want(t, "and leaves a message for a day", viewer.post(mb, 1, signaling.MaxTTL), 0)
		camera.send(signaling.Close{Name: mb.Name()})
	}

	for range mailboxes {
		want(t, "another viewer's session", camera.open(with(newMailbox(), ticket), signaling.Read), 0)
	}
	want(t, "one mailbox more than the ticket has", camera.open(with(newMailbox(), ticket), signaling.Read),
		signaling.CodeQuota)
}

// TestViewerLeavesTheOthersTheirBytes: whatever a viewer stores in the mailboxes whose keys it has, others' mailboxes
// can hold as much as they need.
func TestViewerLeavesTheOthersTheirBytes(t *testing.T) {
	s, class := newTestStore(), newClass(1<<40, ticketParts)
	who := ticketed(class, 1, 10_000, 1)
	held := int64(0)
	for i := range 100 { // the mailboxes of six days, and of many sessions
		name := signaling.Name{1, byte(i)}
		h := mustOpen(t, s, name, who, nil, begin)
		for s.post(name, h, make([]byte, signaling.MaxBody), time.Hour, begin) == nil {
			held += costOf(signaling.MaxBody)
		}
	}

	if held > bytesPerTicket*15/16 {
		t.Errorf("one viewer holds %d of %d bytes", held, bytesPerTicket)
	}
	for i := range 20 {
		name := signaling.Name{2, byte(i)}
		h := mustOpen(t, s, name, who, nil, begin)
		mustPost(t, s, name, h, signaling.MaxBody, time.Hour, begin)
	}
}

// TestTicketHoldsNoMoreThanItsBytes: a ticket can hold 64 MiB, in however many mailboxes.
func TestTicketHoldsNoMoreThanItsBytes(t *testing.T) {
	s, class := newTestStore(), newClass(1<<40, ticketParts)
	who := ticketed(class, 1, 10_000, 1)
	refused := 0
	for i := 0; refused < 50; i++ {
		name := signaling.Name{1, byte(i), byte(i >> 8)}
		h := mustOpen(t, s, name, who, nil, begin)
		if s.post(name, h, make([]byte, signaling.MaxBody), time.Hour, begin) != nil {
			refused++
		}
	}

	const most = 64 << 20
	if held := s.stats.StoredBytes.Load(); held > most || held < most-costOf(signaling.MaxBody) {
		t.Errorf("the ticket holds %d bytes, want %d", held, most)
	}
}

// TestViewerLeavesTheOthersTheirGrants: one address asks for all sessions of an hour, and another address still gets
// some.
func TestViewerLeavesTheOthersTheirGrants(t *testing.T) {
	who := ticketed(newClass(1<<30, ticketParts), 1, 1, 600)
	greedy, visitors := 0, newClass(1<<30, visitorParts)
	for range 1000 {
		if who.chargeGrant(household(visitors, "192.0.2.1"), begin) == nil {
			greedy++
		}
	}

	if greedy < 100 || greedy > 300 {
		t.Errorf("one address got %d of 600 grants", greedy)
	}
	for range 50 {
		if err := who.chargeGrant(household(visitors, "192.0.2.2"), begin); err != nil {
			t.Fatal("another address:", err)
		}
	}
}

func TestGrantsOfATicketAreLimited(t *testing.T) {
	who, visitors := ticketed(newClass(1<<30, ticketParts), 1, 1, 5), newClass(1<<30, visitorParts)
	for range 5 {
		if err := who.chargeGrant(household(visitors, "192.0.2.1"), begin); err != nil {
			t.Fatal(err)
		}
	}

	if who.chargeGrant(household(visitors, "192.0.2.2"), begin) == nil {
		t.Error("one grant more than the ticket has")
	}
}

// TestViewerLeavesTheOthersTheirGrantsOfAnAddress tests the same at a relay that admits everyone, where the camera's
// address pays: for the grants of one link, and for those that a carrier's households share.
func TestViewerLeavesTheOthersTheirGrantsOfAnAddress(t *testing.T) {
	const carriers = grants / 4 // about what one IPv4 address may have
	for _, tt := range []struct {
		camera string
		all    int
		greedy func(i int) string
	}{
		{"2001:db8:1::1", grantsPerHour, func(int) string { return "192.0.2.1" }},
		{"2001:db8:1::1", grantsPerHour, func(i int) string { return fmt.Sprintf("2001:db8:2:%x::1", i) }},
		{"198.51.100.1", carriers, func(i int) string { return fmt.Sprintf("2001:db8:2:%x::1", i%(1<<16)) }},
		{"198.51.100.1", carriers, func(int) string { return "198.51.100.1" }},
	} {
		class, granted := newClass(1<<30, openParts), 0
		camera := household(class, tt.camera)
		for i := range 2 * tt.all {
			if camera.chargeGrant(household(class, tt.greedy(i)), begin) == nil {
				granted++
			}
		}

		if granted < tt.all/8 || granted > tt.all/2 {
			t.Errorf("%s got %d of the %d grants of %s", tt.greedy(0), granted, tt.all, tt.camera)
		}
		for range tt.all / 8 {
			if err := camera.chargeGrant(household(class, "203.0.113.1"), begin); err != nil {
				t.Fatal("another viewer:", err)
			}
		}

		if err := household(class, "198.51.100.2").chargeGrant(household(class, tt.greedy(0)), begin); err != nil {
			t.Error("another camera of the same viewer:", err)
		}
	}
}
