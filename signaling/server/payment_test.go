package server

import (
	"net/netip"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// TestMailboxPaysForItsReserveOnce: a mailbox costs more once it has a reader, but not each time the reader starts
// again.
func TestMailboxPaysForItsReserveOnce(t *testing.T) {
	s, class := newTestStore(), newClass(1<<30, openParts)
	who, name := household(class, "192.0.2.1"), signaling.Name{1}
	h := mustOpen(t, s, name, who, nil, begin)
	if used := class.mailboxes.Used(); used != boxCost {
		t.Errorf("a mailbox that nobody reads: %d, want %d", used, boxCost)
	}

	for range 3 {
		if _, err := s.openBox(name, h, opening{who: who, reader: &reader{name: name}}, begin); err != nil {
			t.Fatal(err)
		}
		if used := class.mailboxes.Used(); used != boxCost+reserveBytes {
			t.Errorf("a mailbox that somebody reads: %d, want %d", used, boxCost+reserveBytes)
		}
	}

	mustOpen(t, s, signaling.Name{2}, who, &reader{name: signaling.Name{2}}, begin)
	if used := class.mailboxes.Used(); used != 2*(boxCost+reserveBytes) {
		t.Errorf("with a second one, opened for reading at once: %d, want %d", used, 2*(boxCost+reserveBytes))
	}
}

// TestMailboxThatCannotPayForItsReserveIsNotRead: without a reserve of its own, a mailbox would use others' shares.
func TestMailboxThatCannotPayForItsReserveIsNotRead(t *testing.T) {
	s, class := newTestStore(), newClass(1<<30, openParts)
	class.mailboxes = netlimit.NewPool(netlimit.Config{Size: boxCost,
		IPv4: netlimit.Share{Free: 1 << 20, Min: boxCost}})
	who, name := household(class, "192.0.2.1"), signaling.Name{1}
	h := mustOpen(t, s, name, who, nil, begin)
	if _, err := s.openBox(name, h, opening{who: who, reader: &reader{name: name}}, begin); err == nil {
		t.Error("the mailbox is opened for reading")
	}

	if used := class.mailboxes.Used(); used != boxCost {
		t.Errorf("%d is paid, want %d", used, boxCost)
	}
}

// TestTicketThatGrantedIsRememberedForAnHour: a camera that leaves and comes back gets no more sessions than one that
// stays connected.
func TestTicketThatGrantedIsRememberedForAnHour(t *testing.T) {
	who := ticketed(unlimited(), 1, 10, 600)
	if !who.ticket.idle(begin) {
		t.Error("a ticket that was not used is remembered")
	}
	if err := who.ticket.chargeGrant(household(unlimited(), "192.0.2.1").payer, begin); err != nil {
		t.Fatal(err)
	}

	if who.ticket.idle(begin.Add(time.Hour)) {
		t.Error("forgotten within the hour")
	}
	if !who.ticket.idle(begin.Add(time.Hour + 1)) {
		t.Error("remembered for longer than an hour")
	}
}

// TestTicketPaysForAConnectionAsAWholeOrNotAtAll: if the ticket has no room for one part, the address continues to pay
// for all of them.
func TestTicketPaysForAConnectionAsAWholeOrNotAtAll(t *testing.T) {
	s, err := New(Config{PublicURL: "https://relay.example", Bus: bus.NewLocal(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	used := func(c *class) [3]int64 { return [3]int64{c.connections.Used(), c.mailboxes.Used(), c.buffers.Used()} }
	for _, room := range []bool{true, false} {
		address := household(newClass(1<<30, openParts), "192.0.2.1")
		lease, err := address.class.connections.Acquire(netlimit.PayerOf(netip.MustParseAddr("192.0.2.1")), connCost)
		if err != nil {
			t.Fatal(err)
		}
		c := newConn(s, nil, address, lease)
		if err := c.mailboxes.Grow(openedCost); err != nil {
			t.Fatal(err)
		}

		who := ticketed(newClass(1<<30, openParts), 1, 10, 600)
		if !room {
			who.class.mailboxes = netlimit.NewPool(netlimit.Config{Size: 1})
		}
		c.moveLeases(who)
		pays, free := address, who
		if room {
			pays, free = who, address
		}

		if c.account != pays {
			t.Errorf("room %t: the wrong account pays", room)
		}
		if got, want := used(pays.class), [3]int64{connCost, openedCost, 0}; got != want {
			t.Errorf("room %t: the payer holds %v, want %v", room, got, want)
		}

		if got := used(free.class); got != [3]int64{} {
			t.Errorf("room %t: the account that does not pay holds %v", room, got)
		}
		if c.releaseLeases(); used(pays.class) != [3]int64{} {
			t.Errorf("room %t: after the connection the payer holds %v", room, used(pays.class))
		}
	}
}
