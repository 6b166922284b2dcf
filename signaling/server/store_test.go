package server

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

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

func newTestStore() *store { return newStore(new(Stats), 1<<30, "here") }

func payer(key string, boxes int) *account { return &account{key: key, maxBoxes: boxes, maxGrants: 2} }

func (s *store) waiting(name signaling.Name, now time.Time) int {
	return len(s.next(name, 0, messagesPerBox, now, func() {}))
}

func mustOpen(t *testing.T, s *store, name signaling.Name, who *account, now time.Time) {
	t.Helper()
	if err := s.open(name, true, who, now); err != nil {
		t.Fatal(err)
	}
}

func TestStoreForgetsInTime(t *testing.T) {
	s, name := newTestStore(), signaling.Name{1}
	mustOpen(t, s, name, payer("a", 1), begin)
	for _, ttl := range []time.Duration{time.Second, time.Minute, time.Hour, 0} {
		if err := s.post(name, []byte("x"), ttl, begin, discard{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 3}, {time.Second - 1, 3}, {time.Second, 2}, {time.Minute, 1}, {time.Hour, 0}} {
		if got := s.waiting(name, begin.Add(tt.after)); got != tt.want {
			t.Errorf("after %v %d messages wait, want %d", tt.after, got, tt.want)
		}
	}
	if n := s.stats.StoredBytes.Load(); n != 0 || s.accounts["a"].bytes != 0 {
		t.Errorf("%d bytes are counted in all, %d of the account", n, s.accounts["a"].bytes)
	}
	s.leave(name, begin)
	if s.sweep(begin.Add(mailboxIdle)); len(s.boxes) != 1 {
		t.Error("an admitted mailbox was forgotten too early")
	}
	if s.sweep(begin.Add(mailboxIdle + 1)); len(s.boxes) != 0 || len(s.accounts) != 0 {
		t.Errorf("%d mailboxes and %d accounts are left", len(s.boxes), len(s.accounts))
	}
}

func TestRendezvousEndsAfterTenMinutes(t *testing.T) {
	s, name := newTestStore(), signaling.Name{1}
	who := payer("pairing", 1)
	who.pairing = true
	mustOpen(t, s, name, who, begin)
	late := begin.Add(pairingLife - time.Second)
	if err := s.post(name, []byte("x"), time.Hour, late, discard{}); err != nil {
		t.Fatal(err)
	}
	if s.waiting(name, late) != 1 || s.waiting(name, late.Add(time.Second)) != 0 {
		t.Error("a message outlives its rendezvous")
	}
	if err := s.post(name, []byte("x"), time.Hour, begin.Add(pairingLife), discard{}); err != errQuota {
		t.Errorf("a post after ten minutes: %v", err)
	}
	s.leave(name, late)
	if s.sweep(begin.Add(pairingLife)); len(s.boxes) != 0 {
		t.Error("the rendezvous is left")
	}
}

func TestRendezvousesAreLimitedByAddress(t *testing.T) {
	s := newTestStore()
	c := newConn(&Server{}, nil, quietAddr)
	who := func() *account {
		a, err := c.account([]byte(signaling.PairingTicket), begin)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for i := range pairingsPerAddress {
		mustOpen(t, s, signaling.Name{1, byte(i >> 8), byte(i)}, who(), begin)
	}
	if err := s.open(signaling.Name{2}, true, who(), begin); err != errQuota {
		t.Errorf("one rendezvous more: %v", err)
	}
	if len(s.boxes) != pairingsPerAddress {
		t.Errorf("%d mailboxes, want %d", len(s.boxes), pairingsPerAddress)
	}
}

func TestTicketTakesOverFromRendezvous(t *testing.T) {
	s, name := newTestStore(), signaling.Name{1}
	visitor := payer("pairing", 1)
	visitor.pairing = true
	mustOpen(t, s, name, visitor, begin)
	if err := s.post(name, []byte("abc"), time.Minute, begin, discard{}); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, s, name, payer("ticket", 1), begin)
	b := s.boxes[name]
	if b.pairing || b.account.key != "ticket" || b.account.boxes != 1 || b.account.bytes != 3 || visitor.boxes != 0 || visitor.bytes != 0 {
		t.Errorf("mailbox %+v, its account %+v, the visitor's %+v", b, b.account, visitor)
	}
	again := payer("pairing", 1)
	again.pairing = true
	if mustOpen(t, s, name, again, begin); b.pairing {
		t.Error("a visitor made a mailbox a rendezvous")
	}
}

func TestGrantsRenewEachHour(t *testing.T) {
	s, name := newTestStore(), signaling.Name{1}
	mustOpen(t, s, name, payer("a", 1), begin)
	for _, tt := range []struct {
		after time.Duration
		want  *signaling.Error
	}{{0, nil}, {time.Minute, nil}, {time.Hour, errQuota}, {time.Hour + 1, nil}} {
		who, err := s.charge(name, begin.Add(tt.after))
		if err != tt.want || (who == "a") != (err == nil) {
			t.Errorf("a grant after %v: %v, charged to %q, want %v", tt.after, err, who, tt.want)
		}
	}
	here := payer("b", 1)
	here.local = true
	mustOpen(t, s, signaling.Name{2}, here, begin)
	if who, err := s.charge(signaling.Name{2}, begin); who != "" || err != nil {
		t.Errorf("a grant on this machine: %v, charged to %q", err, who)
	}
	if _, err := s.charge(signaling.Name{9}, begin); err != errNotAdmitted {
		t.Errorf("a grant on an unknown mailbox: %v", err)
	}
}

func TestSequencesStartApart(t *testing.T) {
	s := newTestStore()
	starts := make(map[uint64]bool)
	for i := range 100 {
		name := signaling.Name{byte(i)}
		mustOpen(t, s, name, payer("a", 100), begin)
		starts[s.boxes[name].next] = true
	}
	if len(starts) != 100 {
		t.Errorf("%d different starts of 100", len(starts))
	}
}

func BenchmarkPost(b *testing.B) {
	for _, boxes := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("mailboxes=%d", boxes), func(b *testing.B) {
			s, body, local := newTestStore(), make([]byte, 2000), bus.NewLocal()
			names := make([]signaling.Name, boxes)
			for i := range names {
				names[i] = signaling.Name{byte(i >> 16), byte(i >> 8), byte(i)}
				if err := s.open(names[i], true, payer("a", boxes), begin); err != nil {
					b.Fatal(err)
				}
			}
			for i := 0; b.Loop(); i++ {
				if err := s.post(names[i%boxes], body, 0, begin, local); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
