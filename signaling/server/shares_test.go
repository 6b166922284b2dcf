package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// offerSize is the size of an offer's envelope.
const offerSize = 9337

// hoard stores as much as an account can, in its own mailboxes, until it is refused.
func hoard(t *testing.T, s *store, who *account, kind byte, ttl time.Duration) (mailboxes int) {
	t.Helper()
	body := make([]byte, signaling.MaxBody) // all messages share it, so that a gigabyte of them is quickly made
	for i := 0; ; i++ {
		h, name := new(holder), nameOf(kind, i)
		if _, err := s.openBox(name, h, opening{first: true, who: who}, begin); err != nil {
			return i
		}
		stored := 0
		for s.post(name, h, body, ttl, begin) == nil {
			stored++
		}
		if stored == 0 {
			return i
		}
	}
}

// store1 stores one message in a new mailbox.
func store1(s *store, who *account, name signaling.Name, ttl time.Duration) *signaling.Error {
	h := new(holder)
	if _, err := s.openBox(name, h, opening{first: true, who: who}, begin); err != nil {
		return err
	}
	return s.post(name, h, make([]byte, offerSize), ttl, begin)
}

// TestSixteenLinksLeaveTheStore: all /64s of a /60, such as a household may have, store as much as they can for a day.
func TestSixteenLinksLeaveTheStore(t *testing.T) {
	s, class := newTestStore(), newClass(1<<30, openParts)
	for i := range 16 {
		hoard(t, s, household(class, fmt.Sprintf("2001:db8:0:%x::1", i)), byte(i), 24*time.Hour)
	}
	whole := int64(1<<30) / 32 * openParts.lasting
	if used := class.lasting.Used(); used > whole/8 || used < whole/16 {
		t.Errorf("they hold %d of %d bytes", used, whole)
	}

	for i, other := range []string{"192.0.2.1", "2001:db8:0:100::1", "2001:db8:1::1"} {
		for j := range 100 {
			if err := store1(s, household(class, other), nameOf(byte(100+i), j), 24*time.Hour); err != nil {
				t.Fatalf("message %d of %s: %v", j, other, err)
			}
		}
	}
}

// TestManyNetworksLeaveTheirNumbersShare: thirty-two separate networks store as much as they can for a day.
func TestManyNetworksLeaveTheirNumbersShare(t *testing.T) {
	s, class := newTestStore(), newClass(1<<30, openParts)
	for i := range 32 {
		hoard(t, s, household(class, fmt.Sprintf("2001:db8:%x::1", i)), byte(i), 24*time.Hour)
	}
	for i := range 10 {
		if err := store1(s, household(class, "192.0.2.1"), nameOf(200, i), 24*time.Hour); err != nil {
			t.Fatalf("message %d of a newcomer: %v", i, err)
		}
	}
}

// TestPoolsDivideTheMemory: all pools together hold the relay's memory, whether it admits everyone or needs tickets.
func TestPoolsDivideTheMemory(t *testing.T) {
	sum := func(p parts) int64 {
		return p.connections + p.mailboxes + p.buffers + p.brief + p.lasting + p.pairings
	}
	if n := sum(openParts); n != 32 {
		t.Errorf("where everyone is admitted: %d of 32 parts", n)
	}
	if n := sum(visitorParts) + sum(ticketParts); n != 32 {
		t.Errorf("where tickets are needed: %d of 32 parts", n)
	}
}

// TestPairingsTakeNothingFromTickets: at a relay that needs tickets, somebody without one can fill the pool of
// pairings, but no other.
func TestPairingsTakeNothingFromTickets(t *testing.T) {
	s := newTestStore()
	visitors, holders := newClass(1<<30, visitorParts), newClass(1<<30, ticketParts)
	for i := range 32 {
		stranger := household(visitors, fmt.Sprintf("2001:db8:%x::1", i))
		for j := 0; ; j++ {
			name, h := nameOf(byte(i), j), new(holder)
			if _, err := s.openBox(name, h, opening{first: true, who: stranger, pairing: true}, begin); err != nil {
				break
			}
			mustPost(t, s, name, h, pairingBody, time.Hour, begin)
		}
	}

	if used, whole := visitors.pairings.Used(), int64(1<<30)/32*visitorParts.pairings; used < whole/2 {
		t.Errorf("the strangers hold only %d of %d bytes, so the test proves nothing", used, whole)
	}

	if err := store1(s, ticketed(holders, 1, 1, 1), nameOf(200, 0), time.Hour); err != nil {
		t.Errorf("a ticket's message: %v", err)
	}
	name, h := nameOf(201, 0), new(holder)
	if _, err := s.openBox(name, h, opening{
		first:   true,
		who:     household(visitors, "192.0.2.1"),
		pairing: true,
	}, begin); err != nil {
		t.Errorf("somebody else's pairing: %v", err)
	}

	for range pairingMessages {
		mustPost(t, s, name, h, pairingBody, time.Hour, begin) // once admitted, it can hold all its messages
	}
}

// TestLastingMessagesLeaveRoomForSessions: storing as much as possible for a day takes nothing that a session needs.
func TestLastingMessagesLeaveRoomForSessions(t *testing.T) {
	s, class := newTestStore(), newClass(1<<30, openParts)
	who := household(class, "192.0.2.1")
	hoard(t, s, who, 1, 24*time.Hour)
	name, h := nameOf(2, 0), new(holder)
	if _, err := s.openBox(name, h, opening{first: true, who: who}, begin); err != nil {
		t.Fatal(err)
	}

	if err := s.post(name, h, make([]byte, signaling.MaxBody), time.Hour, begin); err != errQuota {
		t.Errorf("one more for an hour: %v: the test proves nothing", err)
	}
	for range 20 {
		mustPost(t, s, name, h, offerSize, 2*time.Minute, begin)
	}
}

// TestMailboxThatIsReadHoldsAnOfferWhateverOthersTake: a mailbox that is read has a reserve of its own.
func TestMailboxThatIsReadHoldsAnOfferWhateverOthersTake(t *testing.T) {
	s, class := newTestStore(), newClass(1<<30, openParts)
	who, name := household(class, "192.0.2.1"), nameOf(1, 0)
	h := mustOpen(t, s, name, who, &reader{name: name}, begin)
	for i := range 64 {
		for _, ttl := range []time.Duration{briefTTL, time.Hour} {
			hoard(t, s, household(class, fmt.Sprintf("198.51.100.%d", i)), byte(2+i), ttl)
		}
	}

	for _, ttl := range []time.Duration{briefTTL, time.Hour} { // even from the same address
		hoard(t, s, who, 100, ttl)
	}

	for range 3 {
		mustPost(t, s, name, h, offerSize, time.Minute, begin)
		s.ack(name, s.next(name, 0, 1, begin, func() {})[0].Seq)
	}
}

// TestThousandHouseholdsBehindOneAddressLive: a thousand cameras share a carrier's IPv4 address, each with the
// mailboxes of two viewers, while somebody else there takes as much as possible.
func TestThousandHouseholdsBehindOneAddressLive(t *testing.T) {
	const households, pairs, days = 1000, 2, 3
	s := newServer(t, Config{})
	stranger := household(s.addresses, "198.51.100.1")
	hoard(t, s.store, stranger, 1, time.Minute)
	hoard(t, s.store, stranger, 2, time.Hour)

	var cameras []*conn
	for i := range households {
		c := s.visit(t, "192.0.2.1")
		cameras = append(cameras, c)
		for j := range pairs * days {
			for direction, access := range []signaling.Access{signaling.Read, signaling.Write} {
				name := nameOf(byte(3+direction), i*pairs*days+j)
				if err := c.opens(name, access, c.account); err != nil {
					t.Fatalf("mailbox %d of household %d: %v", j, i, err)
				}
			}
		}
	}

	hoard(t, s.store, household(s.addresses, "192.0.2.1"), 5, time.Minute) // a neighbour
	hoard(t, s.store, household(s.addresses, "192.0.2.1"), 6, time.Hour)
	for i, c := range cameras {
		name := nameOf(3, i*pairs*days)
		if err := s.store.post(name, &c.boxes[name].holder, make([]byte, offerSize), time.Minute, begin); err != nil {
			t.Fatalf("an offer to household %d: %v", i, err)
		}
		if !c.out.pushFrame(signaling.OK{}) {
			t.Fatalf("household %d gets no answer", i)
		}
	}
}
