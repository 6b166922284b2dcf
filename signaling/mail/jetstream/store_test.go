package jetstream

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling/mail"
	"github.com/peephole-cam/peephole/test/noleak"
)

func TestMain(m *testing.M) { noleak.Main(m) }

var (
	porch  = [32]byte{1, 2, 3}
	garden = [32]byte{1, 2, 4} // the same first byte
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir, MaxBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, s *Store, name [32]byte, body string, ttl time.Duration) uint64 {
	t.Helper()
	id, err := s.Put(name, mail.Message{Body: []byte(body), Expires: time.Now().Add(ttl)})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// waiting returns the bodies of the messages in a mailbox.
func waiting(t testing.TB, s *Store, name [32]byte) string {
	t.Helper()
	all, err := s.Waiting(name)
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, m := range all {
		bodies = append(bodies, string(m.Body))
	}
	return strings.Join(bodies, " ")
}

func TestMessagesSurviveTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	s := open(t, dir)
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for _, m := range []mail.Message{
		{Body: []byte("one"), Expires: expires, Own: true},
		{Body: []byte("two"), Expires: expires.Add(time.Minute)},
	} {
		if _, err := s.Put(porch, m); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, garden, "three", time.Hour)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	got, err := s.Waiting(porch)
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if m := got[0]; string(m.Body) != "one" || !m.Own || !m.Expires.Equal(expires) || m.ID == 0 {
		t.Errorf("the first is %+v", m)
	}
	if m := got[1]; string(m.Body) != "two" || m.Own || !m.Expires.Equal(expires.Add(time.Minute)) {
		t.Errorf("the second is %+v", m)
	}
	if s := waiting(t, s, garden); s != "three" {
		t.Errorf("the other mailbox has %q", s)
	}
	if now := s.Stats(); now.Messages != 3 || now.Bytes == 0 {
		t.Errorf("stats %+v", now)
	}
}

func TestDeletesOnlyTheMailboxsOwn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	first, second := put(t, s, porch, "one", time.Hour), put(t, s, porch, "two", time.Hour)
	for _, d := range []struct {
		name [32]byte
		id   uint64
		left string
	}{
		{garden, first, "one two"}, // as after the stream was made anew, or restored
		{porch, 999, "one two"},
		{porch, first, "two"},
		{porch, first, "two"}, // again
		{porch, second, ""},
	} {
		if err := s.Delete(d.name, d.id); err != nil {
			t.Fatal(err)
		}
		if got := waiting(t, s, porch); got != d.left {
			t.Errorf("after deleting %d of %v: %q, want %q", d.id, d.name[2], got, d.left)
		}
	}

	s.Close()
	if got := waiting(t, open(t, dir), porch); got != "" {
		t.Errorf("what was deleted is back: %q", got)
	}
}

// The stream refuses what is new, and keeps what it has acknowledged.
func TestFullStoreKeepsWhatItHas(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range mail.MaxPerMailbox {
		put(t, s, porch, fmt.Sprint(i), time.Hour)
	}
	_, err := s.Put(porch, mail.Message{Body: []byte("one more"), Expires: time.Now().Add(time.Hour)})
	if !errors.Is(err, mail.ErrMailboxFull) {
		t.Errorf("one more: %v", err)
	}
	put(t, s, garden, "another mailbox", time.Hour)

	large := mail.Message{Body: make([]byte, 40_000), Expires: time.Now().Add(time.Hour)}
	for i := range byte(100) { // 4 MB
		if _, err = s.Put([32]byte{9, i}, large); err != nil {
			break
		}
	}
	if !errors.Is(err, mail.ErrUnavailable) {
		t.Errorf("4 MB in a store of 1 MiB: %v", err)
	}
	if got := strings.Fields(waiting(t, s, porch)); len(got) != mail.MaxPerMailbox || got[0] != "0" {
		t.Errorf("%d messages are left of %d", len(got), mail.MaxPerMailbox)
	}
}

func TestMessagesExpire(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, porch, "short", time.Millisecond) // the least is a second
	put(t, s, porch, "long", time.Hour)
	deadline := time.Now().Add(time.Minute)
	for waiting(t, s, porch) != "long" {
		if time.Now().After(deadline) {
			t.Fatal("has not expired: ", waiting(t, s, porch))
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

// A process that starts while another has the folder waits for it, as a relay does for the one that it replaces.
func TestStoreIsHandedOver(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, porch, "one", time.Hour)
	var next *Store
	var opening sync.WaitGroup
	opening.Go(func() { next = open(t, dir) })

	time.Sleep(100 * time.Millisecond) // the other is likely waiting; it must work in any order
	put(t, s, porch, "two", time.Hour)
	s.Close()
	opening.Wait()
	if got := waiting(t, next, porch); got != "one two" {
		t.Errorf("the next has %q", got)
	}
}

func TestClosedStoreIsUnavailable(t *testing.T) {
	s := open(t, t.TempDir())
	s.Close()
	_, putErr := s.Put(porch, mail.Message{Body: []byte("late"), Expires: time.Now().Add(time.Hour)})
	_, readErr := s.Waiting(porch)
	for _, err := range []error{putErr, readErr, s.Delete(porch, 1), s.Check()} {
		if !errors.Is(err, mail.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestFolderThatIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Config{Dir: file, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("got %v", err)
	}
}

// What a person could not read is still no message: it expires at once.
func TestDamagedHeaderExpires(t *testing.T) {
	s := open(t, t.TempDir())
	n, err := s.place.current()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.js.Publish(t.Context(), subject(porch), []byte("who knows")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Waiting(porch)
	if err != nil || len(got) != 1 || got[0].Expires.After(time.Now()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// BenchmarkStore measures what a message costs that is stored, looked up by an open and deleted by an ack.
func BenchmarkStore(b *testing.B) {
	for _, always := range []bool{false, true} {
		s, err := Open(Config{
			Dir:        b.TempDir(),
			MaxBytes:   1 << 20,
			SyncAlways: always,
			Logger:     slog.New(slog.DiscardHandler),
		})
		if err != nil {
			b.Fatal(err)
		}
		m := mail.Message{Body: bytes.Repeat([]byte{1}, 900), Expires: time.Now().Add(time.Hour)}
		b.Run(fmt.Sprintf("put, sync always %v", always), func(b *testing.B) {
			for b.Loop() {
				id, err := s.Put(porch, m)
				b.StopTimer()
				if err = errors.Join(err, s.Delete(porch, id)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("put and delete, sync always %v", always), func(b *testing.B) {
			for b.Loop() {
				id, err := s.Put(porch, m)
				if err = errors.Join(err, s.Delete(porch, id)); err != nil {
					b.Fatal(err)
				}
			}
		})
		s.Close()
	}

	s := open(b, b.TempDir())
	b.Run("look into an empty mailbox", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Waiting(porch); err != nil {
				b.Fatal(err)
			}
		}
	})
}
