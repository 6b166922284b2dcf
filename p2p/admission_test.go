package p2p

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/test/bubble"
)

// inBubble runs f where time passes when nothing else happens.
func inBubble(t *testing.T, f func(t *testing.T, a *admission)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		a := newAdmission()
		defer a.close()
		f(t, a)
	})
}

// admit wants an address to be admitted.
func admit(t *testing.T, a *admission, from string) *slot {
	t.Helper()
	s, err := a.admitAddress(netip.MustParseAddr(from))
	if err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	return s
}

func isDropped(s *slot) bool { return s.dropped.Err() != nil }

// TestUnprovenConnectionEnds: ten seconds after its first packet, and never once it is proven.
func TestUnprovenConnectionEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, a *admission) {
		unproven, proven := admit(t, a, "192.168.1.1"), admit(t, a, "192.168.1.2")
		proven.prove()
		time.Sleep(proofLife - time.Nanosecond)
		synctest.Wait()
		if isDropped(unproven) {
			t.Error("dropped before its time")
		}

		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !isDropped(unproven) || isDropped(proven) {
			t.Errorf("unproven dropped: %v, proven dropped: %v", isDropped(unproven), isDropped(proven))
		}
	})
}

// TestAddressHasItsShare: two unproven connections; a proven one does not count, and one that has ended neither.
func TestAddressHasItsShare(t *testing.T) {
	inBubble(t, func(t *testing.T, a *admission) {
		const from = "192.168.1.1"
		first, second := admit(t, a, from), admit(t, a, "::ffff:"+from)
		if _, err := a.admitAddress(netip.MustParseAddr(from)); !errors.Is(err, errAddressShare) {
			t.Errorf("a third one: %v", err)
		}
		first.prove()
		third := admit(t, a, from)
		second.release()
		admit(t, a, from)
		if isDropped(first) || isDropped(third) {
			t.Error("one was dropped for another of the same address")
		}
	})
}

// TestNetworkCannotTakeAllPlaces: whoever has a whole IPv6 network may have all places until somebody else comes, whose
// place it cannot take. Its newest connections stay, so that others in it get their turn too.
func TestNetworkCannotTakeAllPlaces(t *testing.T) {
	inBubble(t, func(t *testing.T, a *admission) {
		var flood []*slot
		next := func() {
			s := &slot{
				from:    netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", len(flood))),
				network: netip.MustParsePrefix("2001:db8::/64"),
			}
			if _, err := a.place(s, maxPerAddress); err != nil { // whatever its rate
				t.Fatal(err)
			}
			flood = append(flood, s)
		}
		for range maxUnproven {
			next()
		}
		other := admit(t, a, "192.168.1.1")
		for range 3 * maxUnproven {
			next()
		}

		if isDropped(other) {
			t.Error("one network took another's place")
		}
		for i, s := range flood {
			if kept := i > len(flood)-maxUnproven; isDropped(s) == kept {
				t.Errorf("connection %d of %d was dropped: %v", i, len(flood), isDropped(s))
			}
		}
	})
}

// TestProvenConnectionsAreBounded: no more than may be, none is dropped for a newcomer, and one that ends makes room.
func TestProvenConnectionsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, a *admission) {
		var all []*slot
		for i := range maxProven {
			time.Sleep(handshakeWindow) // let earlier handshakes fade
			s := admit(t, a, fmt.Sprintf("192.168.1.%d", i))
			s.prove()
			all = append(all, s)
		}
		if _, err := a.admitAddress(netip.MustParseAddr("192.168.2.1")); !errors.Is(err, errProvenFull) {
			t.Errorf("one more: %v", err)
		}

		all[0].release()
		admit(t, a, "192.168.2.1").prove()
		for _, s := range all[1:] {
			if isDropped(s) {
				t.Error("a proven connection was dropped")
			}
		}
	})
}

// TestHandshakesAreBounded: one address gets ten, and another one still gets its own.
func TestHandshakesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, a *admission) {
		n := 0
		for ; ; n++ {
			s, err := a.admitAddress(netip.MustParseAddr("192.168.1.1"))
			if err != nil {
				if !errors.Is(err, netlimit.ErrShare) {
					t.Fatal(err)
				}
				break
			}
			s.release()
		}
		if n != 10 {
			t.Errorf("%d handshakes were begun at once", n)
		}
		admit(t, a, "192.168.1.2")
	})
}

// TestRelayHasAllPlaces: a relay may bring as many unproven connections as there may be; the newest ones stay, and
// somebody on the LAN still gets a place.
func TestRelayHasAllPlaces(t *testing.T) {
	inBubble(t, func(t *testing.T, a *admission) {
		var all []*slot
		for range maxUnproven {
			s, err := a.admitCircuit("relay")
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		if _, err := a.admitCircuit("relay"); !errors.Is(err, errAddressShare) {
			t.Errorf("one more: %v", err)
		}
		admit(t, a, "192.168.1.1")
		if !isDropped(all[0]) || isDropped(all[1]) {
			t.Error("not the oldest one made room")
		}
	})
}
