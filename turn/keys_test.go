package turn

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestGrantIsForBothRolesOfOneSession(t *testing.T) {
	k, now := newKeys(t), time.Unix(1800000000, 5)
	g, err := k.Grant("", now, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Unix(1800000600, 0); !g.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", g.Expires, want)
	}

	for role, c := range map[role]Credential{camera: g.Camera, viewer: g.Viewer} {
		u, err := parseUsername(c.Username)
		if err != nil || u.role != role || u.session.text() != g.Session || !u.expires().Equal(g.Expires) {
			t.Errorf("role %d: %q is %+v, %v", role, c.Username, u, err)
		}
		if p, _, err := k.password(u, time.Now()); err != nil || p != c.Password || p == "" {
			t.Errorf("role %d: another password than granted: %v", role, err)
		}
	}

	if g.Camera.Password == g.Viewer.Password {
		t.Error("one password for both roles")
	}
	if h := grant(t, k); h.Session == g.Session {
		t.Error("one session for two grants")
	}

	for _, ttl := range []time.Duration{0, -time.Minute, time.Second - 1, MaxTTL + 1} {
		if _, err := k.Grant("", now, ttl); !errors.Is(err, ErrTTL) {
			t.Errorf("ttl %v: %v", ttl, err)
		}
	}
}

// TestPseudonymsHideThePayer: all sessions of one payer carry one pseudonym, at both ends, and those of others another.
// It depends on the secret, so it does not reveal the payer.
func TestPseudonymsHideThePayer(t *testing.T) {
	k := newKeys(t)
	payer := func(k *Keys, name string) payerID {
		g, err := k.Grant(name, time.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseUsername(g.Camera.Username)
		if err != nil {
			t.Fatal(err)
		}

		if v, err := parseUsername(g.Viewer.Username); err != nil || v.payer != c.payer {
			t.Errorf("the viewer's payer: %v, %v", v.payer, err)
		}
		return c.payer
	}

	if first := payer(k, "a"); first != payer(k, "a") {
		t.Error("one payer has two pseudonyms")
	}
	if payer(k, "a") == payer(k, "b") {
		t.Error("two payers have one pseudonym")
	}

	if payer(k, "") != (payerID{}) {
		t.Error("nobody has a pseudonym")
	}
	if payer(k, "a") == payer(newKeys(t), "a") {
		t.Error("a pseudonym does not depend on the secret")
	}
}

func TestCredentialOutlivesOneRotation(t *testing.T) {
	first, second, third := secret(), secret(), secret()
	k, err := NewKeys(first, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := grant(t, k)
	u, _ := parseUsername(g.Camera.Username)
	if err := k.Rotate(second); err != nil {
		t.Fatal(err)
	}

	if p, _, err := k.password(u, time.Now()); err != nil || p != g.Camera.Password {
		t.Errorf("after one rotation: %v", err)
	}
	if both, err := NewKeys(second, first); err != nil {
		t.Error(err)
	} else if p, _, _ := both.password(u, time.Now()); p != g.Camera.Password {
		t.Error("another process with both secrets makes another password")
	}

	if err := k.Rotate(third); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.password(u, time.Now()); !errors.Is(err, errUnknownKey) {
		t.Errorf("after two rotations: %v", err)
	}

	if err := k.Rotate(third); !errors.Is(err, ErrSecret) {
		t.Errorf("same secret again: %v", err)
	}
	if err := k.Rotate(third[1:]); !errors.Is(err, ErrSecret) {
		t.Errorf("short secret: %v", err)
	}

	if _, err := NewKeys(first, first); !errors.Is(err, ErrSecret) {
		t.Errorf("same secret twice: %v", err)
	}
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	var out bytes.Buffer
	k := newKeys(t)
	g := grant(t, k)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "grant", g, "keys", k, "camera", g.Camera)

	s := out.String()
	leaks := strings.Contains(s, g.Camera.Password) || strings.Contains(s, g.Session)
	if leaks || strings.Count(s, "redacted") != 3 {
		t.Errorf("logged %s", s)
	}
}
