package signaling

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTicketIsTheOperators(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	operator := key.Public().(ed25519.PublicKey)
	want := Ticket{ID: [16]byte{1}, NotAfter: now.Add(time.Hour), Mailboxes: 6, SessionsPerHour: 2}
	b := want.Issue(key)
	if len(b) != TicketSize || TicketSize != 93 {
		t.Fatalf("a ticket of %d bytes, TicketSize %d", len(b), TicketSize)
	}

	if got, err := ParseTicket(b, operator, now); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseTicket(b, operator, now.Add(time.Hour+time.Second)); !errors.Is(err, ErrTicketExpired) {
		t.Errorf("an expired ticket: %v", err)
	}

	for i := range b {
		torn := bytes.Clone(b)
		torn[i] ^= 1
		if _, err := ParseTicket(torn, operator, now); !errors.Is(err, ErrTicket) {
			t.Errorf("with byte %d changed: %v", i, err)
		}
	}

	for name, torn := range map[string][]byte{"nothing": nil, "short": b[:92], "long": append(bytes.Clone(b), 0)} {
		if _, err := ParseTicket(torn, operator, now); !errors.Is(err, ErrTicket) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseTicket(f *testing.F) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	f.Add(Ticket{NotAfter: time.Unix(1, 0)}.Issue(key))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseTicket(b, key.Public().(ed25519.PublicKey), time.Unix(0, 0))
		if err == nil && !bytes.Equal(got.Issue(key), b) {
			t.Errorf("%x is issued again as %x", b, got.Issue(key))
		}
	})
}

func TestReadTicketRefusesWhatIsNoTicket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "door.ticket")
	good := Ticket{NotAfter: time.Unix(1, 0)}.Issue(ed25519.NewKeyFromSeed(make([]byte, 32)))
	line := base64.RawURLEncoding.EncodeToString(good)
	for name, text := range map[string]string{
		"":             line + "\n",
		"empty":        "",
		"cut short":    line[:len(line)-4],
		"longer":       line + "AAAA",
		"no base64url": strings.Repeat("?", len(line)),
		"another word": base64.RawURLEncoding.EncodeToString([]byte(PairingTicket)),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadTicket(path)
		if (err == nil) != (name == "") || err == nil && !bytes.Equal(got, good) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

// If a person names a long file by mistake, it is not read to its end.
func TestFilesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(path, make([]byte, MaxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadTicket(path)
	_, err2 := TrustFile(path)
	for _, err := range []error{err, err2} {
		if err == nil || !strings.Contains(err.Error(), "is longer than") {
			t.Errorf("a file of %d bytes: %v", MaxFile+1, err)
		}
	}
}
