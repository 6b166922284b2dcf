package relay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/turn"
)

// Relays with the same secret accept each other's credentials, and a new secret needs no restart.
func TestRelaysShareASecret(t *testing.T) {
	secret := secretOf(1)
	urls := "turn:192.0.2.1:3478?transport=udp,turns:relay.example:443?transport=tcp"
	start := func() *turnService {
		s, err := newTURN(
			&Config{TURN: "127.0.0.1:0", Secret: secret.read, AlsoTURN: strings.Split(urls, ",")},
			"http://127.0.0.1:7880",
			turnStreams{tcp: listenTCP(t)},
			slog.New(slog.DiscardHandler),
		)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.server.Close() })
		return s
	}

	keyOf := func(s *turnService) string {
		g, err := s.Grant("", signaling.Name{}, "", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(g.URLs); n < 3 || strings.Join(g.URLs[n-2:], ",") != urls {
			t.Errorf("granted %v", g.URLs)
		}

		return g.Viewer.Username[strings.LastIndex(g.Viewer.Username, ":"):]
	}

	one, other := start(), start()
	first := keyOf(one)
	if keyOf(other) != first {
		t.Error("two relays with the same secret have different keys")
	}

	if err := one.renew(); err != nil || keyOf(one) != first {
		t.Errorf("with an unchanged secret: %v, or the key has changed", err)
	}
	secret.bytes[0] = 2
	if err := one.renew(); err != nil || keyOf(one) == first {
		t.Errorf("a new secret is not used: %v", err)
	}

	secret.err = errors.New("gone")
	if err := one.renew(); err == nil {
		t.Error("no error, although the secret is gone")
	}
}

func TestKeysAreRotated(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		keys, err := turn.NewKeys(make([]byte, turn.MinSecret), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &turnService{keys: keys, secret: freshSecret, log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		go s.rotate(ctx)

		keyOf := func() string {
			g, err := s.Grant("", signaling.Name{}, "", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return g.Viewer.Username[strings.LastIndex(g.Viewer.Username, ":"):]
		}

		first := keyOf()
		time.Sleep(rotateEvery - time.Second) // the bubble's clock
		if keyOf() != first {
			t.Error("rotated too early")
		}

		time.Sleep(2 * time.Second)
		if second := keyOf(); second == first {
			t.Error("not rotated after an hour")
		}
		cancel()
		synctest.Wait()
	})
}

// If the secret can no longer be read, each attempt is logged, and the old keys stay in use.
func TestMissingSecretIsLogged(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		keys, err := turn.NewKeys(make([]byte, turn.MinSecret), nil)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := &turnService{
			keys:   keys,
			secret: (&secret{err: errors.New("the file has gone")}).read,
			log:    slog.New(slog.NewTextHandler(&log, nil)),
		}

		go s.rotate(t.Context())
		time.Sleep(rotateEvery + time.Second) // the bubble's clock
		synctest.Wait()

		if !strings.Contains(log.String(), `msg="rotate TURN keys"`) ||
			!strings.Contains(log.String(), "the file has gone") {
			t.Errorf("logged %s", log.String())
		}
	})
}

func TestReloadTakesTheNextSecret(t *testing.T) {
	key := func(r *Relay) string {
		g, err := r.turn.Grant("", signaling.Name{}, "", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return g.Camera.Username[strings.LastIndex(g.Camera.Username, ":"):]
	}

	secret := secretOf(1)
	r := newRelay(t, func(c *Config) { c.Secret = secret.read })
	first := key(r)
	if err := r.Reload(); err != nil || key(r) != first {
		t.Errorf("the same secret: %v, key %s after %s", err, key(r), first)
	}

	secret.bytes[0] = 2
	if err := r.Reload(); err != nil || key(r) == first {
		t.Errorf("the next secret is not used (%v)", err)
	}

	own := newRelay(t)
	first = key(own)
	if err := own.Reload(); err != nil || key(own) != first {
		t.Errorf("Reload replaced the secret of a relay that shares none (%v)", err)
	}
}

// secret is a secret that several relays share.
type secret struct {
	bytes []byte
	err   error
}

func secretOf(b byte) *secret { return &secret{bytes: bytes.Repeat([]byte{b}, turn.MinSecret)} }

func (s *secret) read() ([]byte, error) { return bytes.Clone(s.bytes), s.err }
