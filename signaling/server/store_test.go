package server

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

type discard struct{}

func (discard) Publish([32]byte, bus.Message) int                   { return 0 }
func (discard) Subscribe([32]byte, func(bus.Message)) (stop func()) { return func() {} }

var (
	quiet     = slog.New(slog.DiscardHandler)
	quietAddr = netip.MustParseAddr("192.0.2.1")
	begin     = time.Unix(1_800_000_000, 0)
)

func newTestStore() *store { return newStore(new(Stats), discard{}, nil, "here") }

// household returns the account of an address at a relay that admits everyone.
func household(class *class, addr string) *account {
	return &account{payer: netlimit.PayerOf(netip.MustParseAddr(addr)), class: class, addr: netip.MustParseAddr(addr)}
}

// ticketed returns the account of a ticket.
func ticketed(class *class, id byte, mailboxes, sessions uint32) *account {
	t := &ticket{id: [16]byte{id}, limits: signaling.Ticket{Mailboxes: mailboxes, SessionsPerHour: sessions}}
	return &account{payer: netlimit.Named(t.id), class: class, ticket: t}
}

func (s *store) waiting(name signaling.Name, now time.Time) int {
	return len(s.next(name, 0, messagesPerBox, now, func() {}))
}

func (s *store) box(name signaling.Name) *box {
	sh := s.lockShard(name)
	defer sh.mu.Unlock()
	return sh.boxes[name]
}

// mustOpen opens a mailbox for writing, or for reading if there is a reader.
func mustOpen(t *testing.T, s *store, name signaling.Name, who *account, r *reader, now time.Time) *holder {
	t.Helper()
	h := new(holder)
	if _, err := s.openBox(name, h, opening{first: true, who: who, reader: r}, now); err != nil {
		t.Fatal(err)
	}
	return h
}

func mustPost(t *testing.T, s *store, name signaling.Name, h *holder, n int, ttl time.Duration, now time.Time) {
	t.Helper()
	if err := s.post(name, h, make([]byte, n), ttl, now); err != nil {
		t.Fatal(err)
	}
}

func TestStoreForgetsInTime(t *testing.T) {
	s, class, name := newTestStore(), newClass(1<<30, openParts), signaling.Name{1}
	h := mustOpen(t, s, name, household(class, "192.0.2.1"), nil, begin)
	for _, ttl := range []time.Duration{time.Second, time.Minute, time.Hour, 0} {
		mustPost(t, s, name, h, 1, ttl, begin)
	}

	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 3}, {time.Second - 1, 3}, {time.Second, 2}, {time.Minute, 1}, {time.Hour, 0}} {
		if got := s.waiting(name, begin.Add(tt.after)); got != tt.want {
			t.Errorf("after %v, %d messages wait, want %d", tt.after, got, tt.want)
		}
	}

	if n := s.stats.StoredBytes.Load(); n != 0 || class.brief.Used() != 0 || class.lasting.Used() != 0 {
		t.Errorf("%d bytes are counted in all, %d and %d in the pools", n, class.brief.Used(), class.lasting.Used())
	}
}

// TestAdmissionOutlivesItsPayerByItsAge: a mailbox that was open for an hour waits for an hour, but a session's mailbox
// only for a minute.
func TestAdmissionOutlivesItsPayerByItsAge(t *testing.T) {
	for _, tt := range []struct{ open, waits time.Duration }{
		{time.Second, time.Minute},
		{time.Hour, time.Hour},
		{72 * time.Hour, 24 * time.Hour},
	} {
		t.Run(tt.open.String(), func(t *testing.T) {
			s, class, name := newTestStore(), newClass(1<<30, ticketParts), signaling.Name{1}
			who := ticketed(class, 1, 1, 1)
			h := mustOpen(t, s, name, who, nil, begin)
			left := begin.Add(tt.open)
			s.closeBox(name, h, true, left)

			if s.sweep(left.Add(tt.waits)); s.box(name) == nil {
				t.Error("the mailbox was forgotten too early")
			}
			if s.sweep(left.Add(tt.waits + 1)); s.box(name) != nil {
				t.Error("the mailbox still exists")
			}

			if class.mailboxes.Used() != 0 || who.ticket.openMailboxes != 0 || who.ticket.mailboxes != 0 {
				t.Errorf("%d bytes and %d mailboxes are still counted",
					class.mailboxes.Used(), who.ticket.openMailboxes)
			}
		})
	}
}

// TestAdmissionIsAsOldAsItsPayersStay: a viewer holds a mailbox open long before its camera comes, and after the camera
// has left.
func TestAdmissionIsAsOldAsItsPayersStay(t *testing.T) {
	s, class, name := newTestStore(), newClass(1<<30, ticketParts), signaling.Name{1}
	who := ticketed(class, 1, 1, 1)
	mustOpen(t, s, name, nil, nil, begin)

	came := begin.Add(20 * time.Hour)
	h := mustOpen(t, s, name, who, nil, came)
	left := came.Add(time.Second)
	s.closeBox(name, h, true, left)

	if s.sweep(left.Add(minAbsence)); s.box(name).payer == nil {
		t.Error("the ticket stops paying too early")
	}
	if s.sweep(left.Add(minAbsence + 1)); s.box(name).payer != nil || class.mailboxes.Used() != 0 {
		t.Error("the ticket pays for all the time that the viewer was there")
	}
}

// TestAbsentPayersMailboxTakesNothingMore: readers may still fetch messages, but nothing keeps the admission alive.
func TestAbsentPayersMailboxTakesNothingMore(t *testing.T) {
	s, class, name := newTestStore(), newClass(1<<30, ticketParts), signaling.Name{1}
	who := ticketed(class, 1, 1, 1)
	h := mustOpen(t, s, name, who, nil, begin)
	viewer := mustOpen(t, s, name, nil, nil, begin)
	s.closeBox(name, h, true, begin)
	mustPost(t, s, name, viewer, 1, time.Hour, begin)

	late := begin.Add(2 * minAbsence)
	s.sweep(late)
	if err := s.post(name, viewer, []byte("x"), time.Hour, late); err != errNotAdmitted {
		t.Errorf("one more message: %v", err)
	}

	if n := s.waiting(name, late); n != 1 {
		t.Errorf("%d messages wait, want the one that was accepted", n)
	}
	if s.sweep(begin.Add(time.Hour)); s.box(name).payer != nil || class.mailboxes.Used() != 0 {
		t.Error("the ticket still pays after the message has expired")
	}
}

func rendezvous(t *testing.T, s *store, name signaling.Name, who *account) *holder {
	t.Helper()
	h := new(holder)
	if _, err := s.openBox(name, h, opening{first: true, who: who, pairing: true}, begin); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRendezvousEndsAfterTenMinutes(t *testing.T) {
	s, class, name := newTestStore(), newClass(1<<30, visitorParts), signaling.Name{1}
	h := rendezvous(t, s, name, household(class, "192.0.2.1"))
	late := begin.Add(10*time.Minute - time.Second)
	mustPost(t, s, name, h, 1, time.Hour, late)
	if s.waiting(name, late) != 1 || s.waiting(name, late.Add(time.Second)) != 0 {
		t.Error("a message outlives its rendezvous")
	}

	if err := s.post(name, h, []byte("x"), time.Hour, begin.Add(10*time.Minute)); err != errQuota {
		t.Errorf("a post after ten minutes: %v", err)
	}

	s.sweep(begin.Add(10 * time.Minute))
	if class.pairings.Used() != 0 {
		t.Error("staying connected keeps a rendezvous alive")
	}
	if s.closeBox(name, h, false, late); s.box(name) != nil {
		t.Error("the rendezvous still exists")
	}
}

func TestRendezvousesAreLimitedByAddress(t *testing.T) {
	s, class := newTestStore(), newClass(1<<30, visitorParts)
	stranger, opened := household(class, "192.0.2.1"), 0
	for ; opened < 10_000; opened++ {
		name := signaling.Name{1, byte(opened >> 8), byte(opened)}
		o := opening{first: true, who: stranger, pairing: true}
		if _, err := s.openBox(name, new(holder), o, begin); err != nil {
			break
		}
	}

	if opened < 100 || opened > 300 {
		t.Errorf("%d rendezvous from one address, want about 230", opened)
	}
	if n := s.stats.Mailboxes.Load(); n != int64(opened) {
		t.Errorf("%d mailboxes, want %d", n, opened)
	}
	rendezvous(t, s, signaling.Name{2}, household(class, "192.0.2.2")) // somebody else
}

func TestTicketTakesOverFromRendezvous(t *testing.T) {
	s, name := newTestStore(), signaling.Name{1}
	visitors, class := newClass(1<<30, visitorParts), newClass(1<<30, ticketParts)
	h := rendezvous(t, s, name, household(visitors, "192.0.2.1"))
	mustPost(t, s, name, h, 3, time.Minute, begin)

	who := ticketed(class, 1, 1, 1)
	mustOpen(t, s, name, who, nil, begin)
	b := s.box(name)
	if b.pairing || !b.payer.samePayer(who) || who.ticket.openMailboxes != 1 || visitors.pairings.Used() != 0 {
		t.Errorf("mailbox %+v, %d bytes charged for rendezvous", b, visitors.pairings.Used())
	}

	if s.waiting(name, begin) != 0 || who.ticket.bytes != 0 {
		t.Error("the ticket pays for what strangers left")
	}
	if rendezvous(t, s, name, household(visitors, "192.0.2.1")); b.pairing || !b.payer.samePayer(who) {
		t.Error("a visitor turned a mailbox into a rendezvous")
	}
}

func TestGrantsRenewEachHour(t *testing.T) {
	class := newClass(1<<30, ticketParts)
	who := ticketed(class, 1, 1, 2)
	for _, tt := range []struct {
		after time.Duration
		ok    bool
	}{{0, true}, {time.Minute, true}, {time.Hour, false}, {time.Hour + 1, true}} {
		if err := who.chargeGrant(who, begin.Add(tt.after)); (err == nil) != tt.ok {
			t.Errorf("a grant after %v: %v", tt.after, err)
		}
	}
}

func TestSequencesStartApart(t *testing.T) {
	s, class := newTestStore(), newClass(1<<30, openParts)
	starts := make(map[uint64]bool)
	for i := range 100 {
		name := signaling.Name{byte(i)}
		mustOpen(t, s, name, household(class, "192.0.2.1"), nil, begin)
		starts[s.box(name).next] = true
	}

	if len(starts) != 100 {
		t.Errorf("100 mailboxes have %d different starts", len(starts))
	}
}

func BenchmarkPost(b *testing.B) {
	for _, boxes := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("mailboxes=%d", boxes), func(b *testing.B) {
			s, body := newStore(new(Stats), bus.NewLocal(), nil, "here"), make([]byte, 2000)
			who := &account{payer: netlimit.PayerOf(quietAddr), class: unlimited()}
			names, h := make([]signaling.Name, boxes), new(holder)
			for i := range names {
				names[i] = signaling.Name{byte(i), byte(i >> 8), byte(i >> 16)}
				if _, err := s.openBox(names[i], h, opening{first: true, who: who}, begin); err != nil {
					b.Fatal(err)
				}
			}

			for i := 0; b.Loop(); i++ {
				if err := s.post(names[i%boxes], h, body, 0, begin); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
