package camera

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/signaling"
)

// A camera whose ticket has expired can be reached again as soon as it gets the next one.
func TestNextTicketOpensTheMailboxes(t *testing.T) {
	url, operator := startRelay(t)
	a := newAskedAt(t, url)
	ticket := func(until time.Time) []byte {
		return signaling.Ticket{NotAfter: until, Mailboxes: 1000, SessionsPerHour: 100}.Issue(operator)
	}
	a.ticket = ticket(time.Now().Add(-time.Hour))
	a.start(time.Now())
	a.says("the relay refused a mailbox")

	a.camera.SetCredentials(ticket(time.Now().Add(time.Hour)), nil)
	a.answered(time.Now(), nil)
}

// New refuses a camera whose relay, identity or clock is unusable before it writes or sends anything.
func TestNewRefusesWhatCannotServe(t *testing.T) {
	for _, tt := range []struct {
		name, url, file, holds string
		want                   error
	}{
		{"a relay in the clear", "http://relay.example", "", "", relayurl.ErrPlain},
		{"a damaged identity", "https://relay.example", "identity.key", "peephole-identity-1 x\n", identity.ErrKeyFile},
		{"a newer identity", "https://relay.example", "identity.key", "peephole-identity-2 x\n",
			identity.ErrKeyFileNewer},
		{"a newer clock", "https://relay.example", "clock", "peephole-clock-2 x\n", expiry.ErrNewer},
	} {
		state := t.TempDir()
		if tt.file != "" {
			if err := os.WriteFile(filepath.Join(state, tt.file), []byte(tt.holds), 0o600); err != nil {
				t.Fatal(err)
			}
		}

		if c, err := New(Config{
			Stream:   picture(),
			State:    state,
			Name:     "front door",
			RelayURL: tt.url,
		}); c != nil || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
