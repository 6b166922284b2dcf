package turn

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

func newRegionKey(t *testing.T) RegionKey {
	t.Helper()
	k, err := NewRegionKey(secret())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// regionsOf returns n regions that know each other.
func regionsOf(t *testing.T, n int) (keys []*Keys, own []RegionKey) {
	t.Helper()
	for range n {
		keys, own = append(keys, newKeys(t)), append(own, newRegionKey(t))
	}
	for i := range n {
		meet(t, keys[i], own[i], own...)
	}
	return keys, own
}

// meet has a region know others. It may be among them.
func meet(t *testing.T, k *Keys, own RegionKey, others ...RegionKey) {
	t.Helper()
	var public [][]byte
	for _, o := range others {
		if !bytes.Equal(o.Public(), own.Public()) {
			public = append(public, o.Public())
		}
	}
	if err := k.regions.set(own, public); err != nil {
		t.Fatal(err)
	}
}

func grantAt(t *testing.T, k *Keys, at RegionKey, now time.Time) Grant {
	t.Helper()
	g, err := k.GrantAt(at.Public(), "ticket 1", "mailbox", now, 30*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// accepts reports whether a region takes a credential for what it is.
func accepts(t *testing.T, k *Keys, c Credential, now time.Time) bool {
	t.Helper()
	u, err := parseUsername(c.Username)
	if err != nil {
		t.Fatal(err)
	}
	password, by, err := k.password(u, now)
	if err != nil && !errors.Is(err, errUnknownKey) {
		t.Fatal(err)
	}
	return err == nil && by != nil && password == c.Password
}

// TestRegionGrantsAtAnother: the credentials hold at that region, and at no other. A third region that is stolen cannot
// make them.
func TestRegionGrantsAtAnother(t *testing.T) {
	keys, own := regionsOf(t, 3)
	now := time.Now()
	g := grantAt(t, keys[0], own[1], now)
	for i, k := range keys {
		for _, c := range []Credential{g.Camera, g.Viewer} {
			if got := accepts(t, k, c, now); got != (i == 1) {
				t.Errorf("region %d accepts it: %v", i, got)
			}
		}
	}
	if g.Camera.Password == g.Viewer.Password {
		t.Error("one password for both ends")
	}

	// What the third region knows are its own key and the public ones: it makes no key of the pair of the others.
	for _, at := range own[:2] {
		forged := grantAt(t, keys[2], at, now)
		u, _ := parseUsername(forged.Viewer.Username)
		honest, _ := parseUsername(grantAt(t, keys[0], own[1], now).Viewer.Username)
		if u.key == honest.key {
			t.Error("two regions issue with one key")
		}
	}
}

// TestRegionSecretMatchesOtherSoftware: Python's cryptography computed this secret for day 20,790 from two private
// keys, of 32 bytes 1 and of 32 bytes 2.
func TestRegionSecretMatchesOtherSoftware(t *testing.T) {
	var own [2]RegionKey
	for i := range own {
		var err error
		if own[i], err = NewRegionKey(bytes.Repeat([]byte{byte(i + 1)}, RegionKeySize)); err != nil {
			t.Fatal(err)
		}
	}
	secret, err := hex.DecodeString("dcad2dcfab7eb7d43f00aaffe95ad470c1706624d11a852ba2653604dad37857")
	if err != nil {
		t.Fatal(err)
	}
	want, err := deriveKey(secret)
	if err != nil {
		t.Fatal(err)
	}

	day := time.Unix(20_790*24*60*60, 0)
	keys := [2]*Keys{newKeys(t), newKeys(t)}
	meet(t, keys[0], own[0], own[1])
	meet(t, keys[1], own[1], own[0])
	toward, err := keys[0].regions.toward(own[1].Public(), day)
	if err != nil {
		t.Fatal(err)
	}
	from, ok := keys[1].regions.from(want.id, day)
	if !ok || !bytes.Equal(toward.mac, want.mac) || !bytes.Equal(from.mac, want.mac) {
		t.Errorf("issuer's %x, acceptor's %x (%v), want %x", toward.mac, from.mac, ok, want.mac)
	}
}

// TestForeignCredentialHoldsForTwoDaysAtMost: whoever has stolen a region's key cannot make credentials that hold for
// longer than MaxTTL + maxRegionSkew.
func TestForeignCredentialHoldsForTwoDaysAtMost(t *testing.T) {
	keys, own := regionsOf(t, 2)
	now := time.Now()
	stolen, err := keys[1].regions.toward(own[0].Public(), now)
	if err != nil {
		t.Fatal(err)
	}
	for ttl, want := range map[time.Duration]bool{
		MaxTTL + maxRegionSkew - time.Second: true,
		MaxTTL + maxRegionSkew + time.Second: false,
		100 * 365 * 24 * time.Hour:           false,
	} {
		c := stolen.grant(stolen.username("ticket 1", now.Add(ttl))).Viewer
		if got := accepts(t, keys[0], c, now); got != want {
			t.Errorf("one that expires in %v is accepted: %v", ttl, got)
		}
	}
}

// TestDirectionsHaveKeysOfTheirOwn: what one region issues at the other is not what the other issues at it.
func TestDirectionsHaveKeysOfTheirOwn(t *testing.T) {
	keys, own := regionsOf(t, 2)
	now := time.Now()
	there, back := grantAt(t, keys[0], own[1], now), grantAt(t, keys[1], own[0], now)
	if accepts(t, keys[0], there.Viewer, now) || accepts(t, keys[1], back.Viewer, now) {
		t.Error("a region accepts its own grant for another")
	}
}

// TestRegionKeysRotateWithoutAPause: a day's key is also accepted the day before and the day after, since credentials
// outlive midnight and clocks differ.
func TestRegionKeysRotateWithoutAPause(t *testing.T) {
	keys, own := regionsOf(t, 2)
	midnight := time.Date(2026, 12, 3, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		issued, used time.Duration
		want         bool
	}{
		{-time.Second, time.Second, true},
		{time.Second, -time.Second, true},
		{-time.Second, 23 * time.Hour, true},
		{-time.Second, 25 * time.Hour, false},
		{23 * time.Hour, -time.Second, true},
		{25 * time.Hour, -time.Second, false},
	} {
		g := grantAt(t, keys[0], own[1], midnight.Add(row.issued))
		if got := accepts(t, keys[1], g.Camera, midnight.Add(row.used)); got != row.want {
			t.Errorf("issued %v from midnight and used %v from it: %v", row.issued, row.used, got)
		}
	}
}

// TestRevokedRegionEndsAtOnce: a region that is no longer listed makes no allocation, and what it made ends; that of
// the others goes on.
func TestRevokedRegionEndsAtOnce(t *testing.T) {
	for _, over := range []string{"udp", "tcp"} {
		t.Run(over, func(t *testing.T) {
			keys, own := regionsOf(t, 3)
			s := serve(t, Config{Keys: keys[0], Limits: fairly(1000)})
			g := grantAt(t, keys[1], own[0], time.Now())
			kept := grantAt(t, keys[2], own[0], time.Now())
			ours := grant(t, keys[0])
			for _, c := range []Credential{g.Camera, g.Viewer, kept.Camera, ours.Camera} {
				if code := dial(t, s, over, c).allocate(); code != 0 {
					t.Fatal(code)
				}
			}

			if err := s.SetRegions(own[0], [][]byte{own[2].Public()}); err != nil {
				t.Fatal(err)
			}
			if n := s.Stats().Allocations; n != 2 {
				t.Errorf("%d allocations are left, want that of the other region and our own", n)
			}
			if code := dial(t, s, over, g.Viewer).allocate(); code != 401 {
				t.Errorf("allocate: %d", code)
			}
			if code := dial(t, s, over, kept.Viewer).allocate(); code != 0 {
				t.Errorf("allocate with another region's credential: %d", code)
			}
		})
	}
}

// TestReplacedKeyEndsWhatItMade: whoever steals a region's own key can make credentials there in every other region's
// name. Replacing the key invalidates them all and ends their allocations.
func TestReplacedKeyEndsWhatItMade(t *testing.T) {
	keys, own := regionsOf(t, 2)
	s := serve(t, Config{Keys: keys[0], Limits: fairly(1000)})
	g, ours := grantAt(t, keys[1], own[0], time.Now()), grant(t, keys[0])
	for _, c := range []Credential{g.Camera, ours.Camera} {
		dial(t, s, "udp", c).mustAllocate()
	}

	if err := s.SetRegions(newRegionKey(t), [][]byte{own[1].Public()}); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Allocations; n != 1 {
		t.Errorf("%d allocations are left, want our own", n)
	}
	if code := dial(t, s, "udp", g.Viewer).allocate(); code != 401 {
		t.Errorf("allocate: %d", code)
	}
}

// TestStolenRegionJoinsNoSession: a region that has seen a username makes neither an end of that session nor a place in
// its group. A session of its own with that id is another one.
func TestStolenRegionJoinsNoSession(t *testing.T) {
	keys, own := regionsOf(t, 3)
	limits := fairly(1000)
	limits.GroupAllocations, limits.GroupRequests = 2, 100
	s := serve(t, Config{Keys: keys[0], Limits: limits, MaxPerRole: 1})
	for name, seen := range map[string]Grant{
		"our own": through(t, s, "household"),
		"another": grantAt(t, keys[1], own[0], time.Now()),
	} {
		cam := dial(t, s, "udp", seen.Camera)
		cam.mustAllocate()
		u, err := parseUsername(seen.Viewer.Username)
		if err != nil {
			t.Fatal(err)
		}
		stolen, err := keys[2].regions.toward(own[0].Public(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		u.key = stolen.id
		thief := dial(t, s, "udp", stolen.credential(u))
		thief.mustAllocate()

		if code := thief.permit(peerAt(cam.relayed)); code != 403 {
			t.Errorf("%s session: the thief may reach the camera: %d", name, code)
		}
		view := dial(t, s, "udp", seen.Viewer)
		if code := view.allocate(); code != 0 { // the thief's end would take its place, in the session and in the group
			t.Errorf("%s session: the viewer may not allocate: %d", name, code)
		}
		if code := view.permit(peerAt(cam.relayed)); code != 0 {
			t.Errorf("%s session: the viewer may not reach the camera: %d", name, code)
		}
	}
}

// TestStolenRegionLeavesRoom: however many payers a region invents, it has a share of the places, and they come back.
func TestStolenRegionLeavesRoom(t *testing.T) {
	const size = 64
	keys, own := regionsOf(t, 2)
	limits := fairly(size)
	limits.Issuers = netlimit.Config{Size: size, Named: netlimit.Share{Free: 1. / 2, Min: 4}}
	s := serve(t, Config{Keys: keys[0], Limits: limits, MaxAllocations: size})
	var clients []*client
	for i := range size {
		g, err := keys[1].GrantAt(own[0].Public(), fmt.Sprint("ticket ", i), "", time.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		c := dial(t, s, "udp", g.Viewer)
		if code := c.allocate(); code == 486 {
			break
		} else if code != 0 {
			t.Fatal(code)
		}
		clients = append(clients, c)
	}

	if n := len(clients); n < 4 || n > size/2 {
		t.Errorf("a region has %d of %d places", n, size)
	}
	if code := dial(t, s, "udp", through(t, s, "household").Viewer).allocate(); code != 0 {
		t.Errorf("a household of this region: %d", code)
	}
	for _, c := range clients {
		c.refresh(0)
	}
	if n := s.relay.pools.issuers.Used(); n != 0 {
		t.Errorf("%d places have not come back", n)
	}
}

// TestBadRegionKeys: none of them changes anything.
func TestBadRegionKeys(t *testing.T) {
	if _, err := NewRegionKey(make([]byte, RegionKeySize-1)); !errors.Is(err, ErrSecret) {
		t.Errorf("short private key: %v", err)
	}
	keys, own := regionsOf(t, 2)
	lowOrder := make([]byte, RegionKeySize)
	for name, public := range map[string][]byte{"low order": lowOrder, "short": lowOrder[1:], "none": nil} {
		if err := keys[0].regions.set(own[0], [][]byte{public}); !errors.Is(err, ErrSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	grantAt(t, keys[0], own[1], time.Now())

	stranger, err := ecdh.X25519().NewPrivateKey(secret())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys[0].GrantAt(stranger.PublicKey().Bytes(), "", "", time.Now(), time.Minute); err == nil {
		t.Error("a grant at a region that is not listed")
	}
	if _, err := keys[0].GrantAt(own[1].Public(), "", "", time.Now(), 2*MaxTTL); !errors.Is(err, ErrTTL) {
		t.Errorf("too long a life: %v", err)
	}
}

// TestOneMailboxIsBoundInAnotherRegionToo: what goes through one mailbox is one group there, under a name that differs
// from region to region.
func TestOneMailboxIsBoundInAnotherRegionToo(t *testing.T) {
	keys, own := regionsOf(t, 3)
	group := func(at RegionKey, through string) groupID {
		g, err := keys[0].GrantAt(at.Public(), "ticket 1", through, time.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		u, err := parseUsername(g.Viewer.Username)
		if err != nil {
			t.Fatal(err)
		}
		return u.session.group()
	}
	one := group(own[1], "one")
	if group(own[1], "one") != one || group(own[1], "two") == one || group(own[2], "one") == one ||
		group(own[1], "") == one {
		t.Error("the groups are not those of the mailboxes")
	}
}
