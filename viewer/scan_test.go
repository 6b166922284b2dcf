package viewer

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/test/bubble"
)

// A welcome opens whatever its date, since the pair is only a moment old. Imitations are tried at a bounded rate.
func TestWelcomeIsFoundWhateverItsDate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		self, err1 := identity.Generate()
		camera, err2 := identity.Generate()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		pair := &envelope.Pair{
			Self:          self,
			Role:          identity.Viewer,
			Peer:          camera.Bundle(),
			Secret:        envelope.Secret{1},
			MailboxSecret: envelope.Secret{2},
		}

		cameras := &envelope.Pair{
			Self:          camera,
			Role:          identity.Camera,
			Peer:          self.Bundle(),
			Secret:        pair.Secret,
			MailboxSecret: pair.MailboxSecret,
		}

		s := &scanning{pair: pair, box: pair.Mailbox(envelope.ToViewer, 1), tries: rate.NewLimiter(1, maxTries)}
		welcome := func(sent time.Time) []byte {
			sealed, err := cameras.Seal(s.box, envelope.Message{
				Type:   envelope.TypeWelcome,
				Sent:   sent,
				Expiry: sent.Add(time.Minute),
			})
			if err != nil {
				t.Fatal(err)
			}
			return sealed.Wire
		}

		for _, sent := range []time.Time{time.Unix(0, 0), time.Now(), time.Now().AddDate(100, 0, 0)} {
			if o, err := s.openWelcome(welcome(sent)); err != nil || o.Type != envelope.TypeWelcome {
				t.Errorf("sent at %s: type %d, %v", sent, o.Type, err)
			}
		}

		copied := bytes.Clone(welcome(time.Now()))
		copied[len(copied)-1] ^= 1
		tried := 3
		for range 10 * maxTries {
			if _, err := s.openWelcome(copied); errors.Is(err, envelope.ErrNotForUs) {
				tried++
			}
		}

		if tried != maxTries {
			t.Errorf("%d imitations were tried, want %d", tried, maxTries)
		}
		time.Sleep(time.Second)
		if _, err := s.openWelcome(welcome(time.Now())); err != nil {
			t.Errorf("a second later: %v", err)
		}
	})
}
