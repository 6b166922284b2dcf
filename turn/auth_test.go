package turn

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// TestBadCredentialsAreRefused: each is answered with 401, a realm and a nonce, is counted for its reason, and leaves
// nothing behind.
func TestBadCredentialsAreRefused(t *testing.T) {
	k, now := newKeys(t), time.Now()
	old, err := k.Grant("", now.Add(-time.Hour), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	just, err := k.Grant("", now.Truncate(time.Second).Add(-time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}

	good := grant(t, k)
	with := func(f func(*Credential)) Credential {
		c := good.Camera
		f(&c)
		return c
	}

	replace := func(old, new string) Credential {
		return with(func(c *Credential) { c.Username = strings.Replace(c.Username, old, new, 1) })
	}
	for name, row := range map[string]struct {
		cred  Credential
		count string
	}{
		"expired":          {old.Camera, "expired"},
		"expired just now": {just.Viewer, "expired"},
		"another server's": {grant(t, newKeys(t)).Camera, "unknown_key"},
		"wrong password":   {with(func(c *Credential) { c.Password = "x" + c.Password[1:] + "x" }), "bad_integrity"},
		"empty password":   {with(func(c *Credential) { c.Password = "" }), "bad_integrity"},
		"other role":       {replace(":c:", ":v:"), "bad_integrity"},
		"other's password": {with(func(c *Credential) { c.Password = good.Viewer.Password }), "bad_integrity"},
		"longer life":      {replace("1", "2"), "bad_integrity"},
		"another session":  {replace(good.Session, old.Session), "bad_integrity"},
		"unknown role":     {replace(":c:", ":x:"), "malformed"},
		"malformed":        {Credential{Username: "camera", Password: "x"}, "malformed"},
		"no username":      {Credential{}, "malformed"},
		"very long name":   {Credential{Username: strings.Repeat("x", 500)}, "malformed"},
		"unknown key id": {with(func(c *Credential) {
			c.Username = c.Username[:len(c.Username)-8] + "00000000"
		}), "unknown_key"},
		"upper-case key id": {with(func(c *Credential) { c.Username = strings.ToUpper(c.Username) }), "malformed"},
	} {
		for _, over := range []string{"udp", "tcp"} {
			t.Run(name+" over "+over, func(t *testing.T) {
				s := serve(t, Config{Keys: k, Now: func() time.Time { return now }})
				c := dial(t, s, over, row.cred)
				m, code := c.ask(stun.MethodAllocate, wantUDP)
				var realm stun.Realm
				var nonce stun.Nonce
				if code != 401 || realm.GetFrom(m) != nil || realm.String() != "peephole" || nonce.GetFrom(m) != nil {
					t.Errorf("code %d, realm %q, nonce %q", code, realm, nonce)
				}

				n := s.Stats()
				for reason, count := range n.AuthFailures {
					if want := map[bool]uint64{true: 1}[reason == row.count]; count != want {
						t.Errorf("%d counted as %s", count, reason)
					}
				}

				if n.AllocationsTotal != 0 || addressesInUse(s) != 0 {
					t.Error("an allocation was made")
				}
				c.cred = good.Camera
				if code := c.allocate(); code != 0 {
					t.Errorf("good credentials afterwards: %d", code)
				}
			})
		}
	}
}

func TestWrongRealmIsRefused(t *testing.T) {
	s := serve(t, Config{})
	c := dial(t, s, "udp", grant(t, s.config.Keys).Camera)
	c.realm = "elsewhere"
	if code := c.allocate(); code != 401 {
		t.Errorf("%d", code)
	}
}

// TestAllocationObeysOnlyItsOwnCredentials: an allocation obeys only the credentials that made it (RFC 8656 section 5).
func TestAllocationObeysOnlyItsOwnCredentials(t *testing.T) {
	s := serve(t, Config{})
	cam, view := pair(t, s, "udp", "udp")
	cam.cred = grant(t, s.config.Keys).Camera
	if code := cam.refresh(60); code != 441 {
		t.Errorf("refresh: %d", code)
	}

	if code := cam.permit(peerAt(view.relayed)); code != 441 {
		t.Errorf("permission: %d", code)
	}
	if code := cam.allocate(); code != 437 {
		t.Errorf("allocate: %d", code)
	}
}

// TestRotationEndsNothingThatLives: one rotation ends no allocation, and credentials granted just before still work.
// Two rotations refuse credentials granted before both, but not the allocations that these made.
func TestRotationEndsNothingThatLives(t *testing.T) {
	s := serve(t, Config{})
	before := grant(t, s.config.Keys)
	cam, view, late := dial(t, s, "udp", before.Camera), dial(t, s, "udp", before.Viewer),
		dial(t, s, "udp", before.Viewer)
	if code := cam.allocate(); code != 0 {
		t.Fatal(code)
	}
	if err := s.config.Keys.Rotate(secret()); err != nil {
		t.Fatal(err)
	}

	if code := view.allocate(); code != 0 {
		t.Errorf("allocate after one rotation: %d", code)
	}
	pair(t, s, "udp", "tcp") // with the new key
	if err := s.config.Keys.Rotate(secret()); err != nil {
		t.Fatal(err)
	}

	if code := late.allocate(); code != 401 {
		t.Errorf("allocate after two rotations: %d", code)
	}
	if a, b := cam.refresh(60), cam.permit(peerAt(view.relayed)); a+b != 0 {
		t.Errorf("living allocation after two rotations: %d, %d", a, b)
	}
}

// TestRefreshEndsAtMaxLifetime: an allocation may be refreshed past its credential's expiry, for MaxLifetime and no
// longer.
func TestRefreshEndsAtMaxLifetime(t *testing.T) {
	var ahead atomic.Int64
	start := time.Now()
	s := serve(t, Config{
		MaxLifetime: time.Hour,
		Now:         func() time.Time { return start.Add(time.Duration(ahead.Load())) },
	})
	g, err := s.config.Keys.Grant("", start, time.Minute)
	if err != nil {
		t.Fatal(err)
	}

	cam, view := dial(t, s, "udp", g.Camera), dial(t, s, "tcp", g.Viewer)
	if code := cam.allocate(); code != 0 {
		t.Fatal(code)
	}
	ahead.Store(int64(2 * time.Minute))
	if code := view.allocate(); code != 401 {
		t.Errorf("allocate after expiry: %d", code)
	}

	if code := cam.refresh(60); code != 0 {
		t.Errorf("refresh after expiry: %d", code)
	}
	ahead.Store(int64(g.Expires.Sub(start) + time.Hour - 1))
	if code := cam.refresh(60); code != 0 {
		t.Errorf("refresh at the last moment: %d", code)
	}

	ahead.Store(int64(g.Expires.Sub(start) + time.Hour))
	if code := cam.refresh(60); code != 401 {
		t.Errorf("refresh after MaxLifetime: %d", code)
	}
	if n := s.Stats().AuthFailures["expired"]; n != 2 {
		t.Errorf("%d counted as expired", n)
	}
}
