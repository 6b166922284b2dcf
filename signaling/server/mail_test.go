package server

import (
	"crypto/ed25519"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/mail"
	"github.com/peephole-cam/peephole/signaling/mail/jetstream"
	"github.com/peephole-cam/peephole/test/reserve"
)

func openMail(t *testing.T, dir string) *jetstream.Store {
	t.Helper()
	s, err := jetstream.Open(jetstream.Config{Dir: dir, MaxBytes: 1 << 24, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// storedIn returns the bodies in a mailbox of the mail store.
func storedIn(t *testing.T, s mail.Store, mb signaling.Mailbox) (bodies []string) {
	t.Helper()
	all, err := s.Waiting(mb.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		bodies = append(bodies, string(m.Body))
	}
	return bodies
}

func TestAcknowledgedMessagesSurviveARestart(t *testing.T) {
	dir, addr, mb := filepath.Join(t.TempDir(), "mail"), reserve.For(t), newMailbox()
	kept := openMail(t, dir)
	e := startAt(t, addr, Config{Mail: kept})
	viewer := e.client(t)
	for _, s := range []string{"read", "one", "two"} {
		mustSend(t, viewer, mb, s)
	}
	got, stop := receive(e.client(t), mb, func(s string) bool { return s != "read" })
	for _, want := range []string{"read", "one", "two"} {
		if s := next(t, got); s != want {
			t.Fatalf("got %q, want %q", s, want)
		}
	}
	until(t, "what was read is deleted", func() bool { return len(storedIn(t, kept, mb)) == 2 })
	stop()
	e.stop()
	kept.Close()

	kept = openMail(t, dir)
	e = startAt(t, addr, Config{Mail: kept})
	got, _ = receive(e.client(t), mb, nil)
	mustSend(t, viewer, mb, "three") // by the viewer that was connected before
	for _, want := range []string{"one", "two", "three"} {
		if s := next(t, got); s != want {
			t.Errorf("after the restart: %q, want %q", s, want)
		}
	}
	until(t, "nothing is left", func() bool { return len(storedIn(t, kept, mb)) == 0 })
	if n := e.Stats.StoredBytes.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// A reader that nobody pays for waits for the camera, whose ticket brings back what was stored.
func TestTicketBringsBackWhatWasStored(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	kept, mb := openMail(t, t.TempDir()), newMailbox()
	m := mail.Message{Body: []byte("kept"), Expires: time.Now().Add(time.Hour)}
	if _, err := kept.Put(mb.Name(), m); err != nil {
		t.Fatal(err)
	}
	e := start(t, Config{Mail: kept, TicketKey: public})
	got, _ := receive(e.client(t), mb, nil)
	until(t, "the mailbox is read", func() bool { return e.Stats.Opened.Load() == 1 })

	paid := mb
	paid.Ticket = signaling.Ticket{
		ID:              [16]byte{1},
		NotAfter:        time.Now().Add(time.Hour),
		Mailboxes:       8,
		SessionsPerHour: 8,
	}.Issue(private)
	defer e.client(t).Keep(paid)()
	if s := next(t, got); s != "kept" {
		t.Errorf("got %q", s)
	}
	until(t, "nothing is left", func() bool { return len(storedIn(t, kept, mb)) == 0 })
}

func TestRevokedMailboxIsEmptyOnDisk(t *testing.T) {
	kept, mb, other := openMail(t, t.TempDir()), newMailbox(), newMailbox()
	e := start(t, Config{Mail: kept})
	camera := e.client(t)
	defer camera.Keep(mb)()
	mustSend(t, camera, mb, "for a viewer that is removed")
	mustSend(t, camera, other, "for another one")
	if err := camera.Revoke(t.Context(), mb); err != nil {
		t.Fatal(err)
	}
	if left := storedIn(t, kept, mb); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	if left := storedIn(t, kept, other); len(left) != 1 {
		t.Errorf("in the other mailbox: %q", left)
	}
}

// brokenMail is a mail store that keeps nothing.
type brokenMail struct {
	err    error
	during func() // called by Put
}

func (b brokenMail) Put([32]byte, mail.Message) (uint64, error) {
	if b.during != nil {
		b.during()
	}
	return 1, b.err
}
func (b brokenMail) Waiting([32]byte) ([]mail.Message, error) { return nil, nil }
func (b brokenMail) Delete([32]byte, uint64) error            { return b.err }

func TestWhatCannotBeStoredIsRefusedAndCostsNothing(t *testing.T) {
	for _, row := range []struct {
		err  error
		says string
	}{
		{mail.ErrUnavailable, "the relay cannot store messages now: try another relay, or this one later (503)"},
		{mail.ErrMailboxFull, "quota used up: try again later (429)"},
	} {
		e := start(t, Config{Mail: brokenMail{err: row.err}})
		c, mb := e.client(t), newMailbox()
		got, _ := receive(c, mb, nil)
		err := c.Send(t.Context(), mb, []byte("stored"), time.Minute)
		if err == nil || !strings.HasSuffix(err.Error(), row.says) {
			t.Errorf("%v: the sender hears %v", row.err, err)
		}
		if n := e.Stats.StoredBytes.Load(); n != 0 {
			t.Errorf("%v: %d bytes are counted", row.err, n)
		}

		if err := c.Send(t.Context(), mb, []byte("live"), 0); err != nil {
			t.Errorf("%v: what needs no store: %v", row.err, err)
		}
		if s := next(t, got); s != "live" {
			t.Errorf("%v: got %q, which was refused", row.err, s)
		}
	}
}

// A mailbox may be revoked just while a message for it is stored: the message is refused, and nothing is left of it.
func TestMailboxIsRevokedWhileAMessageIsStored(t *testing.T) {
	mb, owner := newMailbox(), newClass(1<<30, openParts)
	kept := &slowMail{Store: openMail(t, t.TempDir())}
	s := newStore(new(Stats), discard{}, kept, "here")
	who := &account{payer: netlimit.PayerOf(quietAddr), class: owner, addr: quietAddr}
	var h holder
	if _, err := s.openBox(mb.Name(), &h, opening{first: true, who: who}, time.Now()); err != nil {
		t.Fatal(err)
	}
	kept.during = func() {
		if _, err := s.revoke(mb.Name(), &h, time.Now()); err != nil {
			t.Error(err)
		}
	}

	if err := s.post(mb.Name(), &h, []byte("late"), time.Minute, time.Now()); err != errNotAdmitted {
		t.Errorf("the sender hears %v", err)
	}
	if left := storedIn(t, kept, mb); len(left) != 0 {
		t.Errorf("left on disk: %q", left)
	}
	if n := s.stats.StoredBytes.Load(); n != 0 {
		t.Errorf("%d bytes are counted", n)
	}
}

// slowMail does something else before it stores a message.
type slowMail struct {
	mail.Store
	during func()
}

func (m *slowMail) Put(name [32]byte, what mail.Message) (uint64, error) {
	m.during()
	return m.Store.Put(name, what)
}

// Several connections post to one mailbox, and readers come and go: every message arrives that was acknowledged.
func TestStoredMessagesAllArrive(t *testing.T) {
	const senders, each = 8, 40
	kept, mb := openMail(t, t.TempDir()), newMailbox()
	e := start(t, Config{Mail: kept, LoopbackUnlimited: true})
	var sending sync.WaitGroup
	for i := range senders {
		c := e.client(t)
		sending.Go(func() {
			for j := range each {
				mustSend(t, c, mb, string(rune('A'+i))+string(rune('0'+j)))
			}
		})
	}

	missing := make(map[string]bool)
	for i := range senders {
		for j := range each {
			missing[string(rune('A'+i))+string(rune('0'+j))] = true
		}
	}
	for reader := e.client(t); len(missing) > 0; {
		got, stop := receive(reader, mb, nil)
		for range min(17, len(missing)) {
			delete(missing, next(t, got))
		}
		stop()
		for len(got) > 0 {
			delete(missing, <-got)
		}
	}
	sending.Wait()
	until(t, "nothing is left", func() bool {
		return slices.Equal(storedIn(t, kept, mb), nil)
	})
}

// A client pays for what its messages cost the disk, too.
func TestStoringIsPaidFor(t *testing.T) {
	for _, row := range []struct {
		what  string
		frame signaling.Frame
		more  int64
	}{
		{"an open", signaling.Open{}, lookWork},
		{"a post that is stored", signaling.Post{TTL: 1}, putWork},
		{"a live post", signaling.Post{}, 0},
		{"an ack", signaling.Ack{}, eraseWork},
		{"a grant", signaling.GrantRequest{}, 0},
	} {
		if more := workOf(row.frame, true) - workOf(row.frame, false); more != row.more {
			t.Errorf("%s costs %d more, want %d", row.what, more, row.more)
		}
	}
}
