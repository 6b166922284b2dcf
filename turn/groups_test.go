package turn

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
)

// through makes a grant for a payer through what.
func through(t *testing.T, s *Server, what string) Grant {
	t.Helper()
	g, err := s.config.Keys.GrantThrough("ticket 1", what, s.config.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestRevokedGrantsEndAtOnce: when a viewer is removed, its sessions end, and its credentials begin no new ones.
func TestRevokedGrantsEndAtOnce(t *testing.T) {
	for _, over := range []string{"udp", "tcp"} {
		t.Run(over, func(t *testing.T) {
			s := serve(t, Config{Limits: fairly(1000)})
			first, second, other := through(t, s, "removed"), through(t, s, "removed"), through(t, s, "other")
			cam, view := dial(t, s, over, first.Camera), dial(t, s, over, first.Viewer)
			stays := dial(t, s, over, other.Camera)
			for _, c := range []*client{cam, view, stays} {
				if code := c.allocate(); code != 0 {
					t.Fatal(code)
				}
			}

			s.Revoke("removed")
			if n, places := s.Stats().Allocations, s.relay.pools.payers.Used(); n != 1 || places != 1 {
				t.Errorf("%d allocations are left, and %d leases; want only the other viewer's", n, places)
			}
			if over == "tcp" {
				await(t, func() bool { return s.Stats().Connections == 1 })
			} else if code := cam.refresh(60); code != 437 {
				t.Errorf("refresh of a revoked session: %d", code)
			}

			for _, cred := range []Credential{first.Viewer, second.Camera} {
				if code := dial(t, s, over, cred).allocate(); code != 401 {
					t.Errorf("allocate with a revoked credential: %d", code)
				}
			}

			if n := s.Stats().AuthFailures["revoked"]; n != 2 {
				t.Errorf("%d counted as revoked, want both", n)
			}
			if code := stays.refresh(60); code != 0 {
				t.Errorf("refresh of another viewer's: %d", code)
			}

			if code := dial(t, s, over, other.Viewer).allocate(); code != 0 {
				t.Errorf("allocate with another viewer's: %d", code)
			}
		})
	}
}

// TestSessionRevokedMeanwhileKeepsNoAllocation: pion makes an allocation whose session was revoked after the password
// was checked. It must not live.
func TestSessionRevokedMeanwhileKeepsNoAllocation(t *testing.T) {
	s := serve(t, Config{})
	g := through(t, s, "removed")
	a, err := s.relay.newAllocation()
	if err != nil {
		t.Fatal(err)
	}

	s.Revoke("removed")
	client := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:4711"))
	s.transports[0].onAllocationCreated(client, nil, "", g.Camera.Username, "", a.LocalAddr(), 0)
	if n := addressesInUse(s); n != 0 {
		t.Errorf("%d relayed addresses are in use", n)
	}
}

// TestWhatIsGrantedAfterARevocationIsGood: a camera that restarts closes its mailboxes and opens them again, and its
// new credentials must work.
func TestWhatIsGrantedAfterARevocationIsGood(t *testing.T) {
	s := serve(t, Config{})
	before := through(t, s, "restarts")
	s.Revoke("restarts")
	after := through(t, s, "restarts") // usually in the same second
	if code := dial(t, s, "udp", after.Camera).allocate(); code != 0 {
		t.Errorf("allocate with a credential from after the revocation: %d", code)
	}

	if code := dial(t, s, "udp", before.Camera).allocate(); code != 401 {
		t.Errorf("allocate with a credential from before the revocation: %d", code)
	}
}

func TestGroupsAreForgotten(t *testing.T) {
	k, now := newKeys(t), time.Now()
	for i := range 10 * minSweep {
		at := now.Add(time.Duration(i) * time.Minute)
		if _, err := k.GrantThrough("ticket 1", string(rune('a'+i)), at, time.Minute); err != nil {
			t.Fatal(err)
		}
	}

	if n := len(k.groups.granted); n > 2*minSweep {
		t.Errorf("%d groups are remembered, although only one or two have valid credentials", n)
	}

	s := serve(t, Config{})
	c := dial(t, s, "udp", through(t, s, "ends").Camera)
	if a, b := c.allocate(), c.refresh(0); a+b != 0 {
		t.Fatal(a, b)
	}
	await(t, func() bool { return s.Stats().Allocations == 0 })
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	if n := len(s.relay.groups); n != 0 {
		t.Errorf("%d groups have sessions", n)
	}
}

// TestViewerLeavesTheOthersTheirAllocations: one viewer allocates with all credentials that it can get, and stays
// within its group's limit.
func TestViewerLeavesTheOthersTheirAllocations(t *testing.T) {
	const most = 3
	s := serve(t, Config{Limits: Limits{Payers: netlimit.Config{Size: 1000}, GroupAllocations: most}})
	var ends []*client
	for i := range most + 2 {
		g := through(t, s, "greedy")
		c := dial(t, s, "udp", []Credential{g.Camera, g.Viewer}[i%2])
		if code := c.allocate(); (code == 0) != (i < most) || code != 0 && code != 486 {
			t.Errorf("allocation %d: %d", i, code)
		}
		ends = append(ends, c)
	}

	if code := dial(t, s, "udp", through(t, s, "other").Camera).allocate(); code != 0 {
		t.Errorf("allocation of another viewer: %d", code)
	}
	for range 2 * most { // sessions that nobody pays for have no group
		if code := dial(t, s, "udp", grant(t, s.config.Keys).Camera).allocate(); code != 0 {
			t.Errorf("allocation of an address: %d", code)
		}
	}

	if code := ends[0].refresh(0); code != 0 {
		t.Fatal(code)
	}
	await(t, func() bool { return s.Stats().Allocations == 3*most })
	if code := ends[most].allocate(); code != 0 {
		t.Errorf("allocation in a place that is free again: %d", code)
	}
}

// TestViewerLeavesTheOthersTheirRequests: one viewer asks as often as it can, with both of its allocations, and stays
// within its group's limit.
func TestViewerLeavesTheOthersTheirRequests(t *testing.T) {
	const most = 50
	s := serve(t, Config{Limits: Limits{Requests: netlimit.Config{Size: 1 << 20}, GroupRequests: most}})
	allocated := func(cred Credential) *allocation {
		t.Helper()
		c := dial(t, s, "tcp", cred)
		if code := c.allocate(); code != 0 {
			t.Fatal(code)
		}
		return s.transports[1].front.allocation(clientOf(c.conn.LocalAddr()))
	}

	greedy, other := through(t, s, "greedy"), through(t, s, "other")
	ends := []*allocation{allocated(greedy.Camera), allocated(greedy.Viewer)}
	neighbour, address := allocated(other.Camera), allocated(grant(t, s.config.Keys).Camera)

	now, at, may := time.Now(), netip.MustParseAddr("192.0.2.1"), 0
	for i := range 10 * most {
		if s.relay.requests.allow(ends[i%2], at, now) {
			may++
		}
	}

	if may < most/2 || may > most {
		t.Errorf("%d requests at once, want %d", may, most)
	}
	for range most / 2 {
		if !s.relay.requests.allow(neighbour, at, now) || !s.relay.requests.allow(address, at, now) {
			t.Fatal("somebody else may not make a request")
		}
	}

	if !s.relay.requests.allow(ends[0], at, now.Add(10*time.Second)) {
		t.Error("after ten seconds it may still make no request")
	}
}

// TestSessionsOfOneGroupDiffer: the sessions of one group have the first half of their ids in common, and another
// process has another half.
func TestSessionsOfOneGroupDiffer(t *testing.T) {
	one, another := newKeys(t), newKeys(t)
	id := func(k *Keys, what string) sessionID {
		t.Helper()
		g, err := k.GrantThrough("ticket 1", what, time.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		u, err := parseUsername(g.Camera.Username)
		if err != nil {
			t.Fatal(err)
		}
		return u.session
	}

	a, b, c, d := id(one, "a"), id(one, "a"), id(one, "b"), id(another, "a")
	if a == b || a.group() != b.group() || a.group() == c.group() || a.group() == d.group() {
		t.Errorf("sessions %x %x of one group, %x of another, %x of another process", a, b, c, d)
	}
	if e, f := id(one, ""), id(one, ""); e.group() == f.group() {
		t.Errorf("sessions %x and %x of no group", e, f)
	}
}
