package e2e

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// Eufy, May 2021: after a server update, 712 people were logged in as somebody else, and saw and steered that person's
// cameras. Here the relay confuses two people, in every place where it holds something of theirs.
func TestIncidentAccountsSwapped(t *testing.T) {
	t.Parallel()
	t.Run("connections", testConnectionsSwapped)
	t.Run("mailboxes of two viewers of one camera", testMailboxesSwapped)
	t.Run("TURN credentials", testCredentialsSwapped)
	t.Run("media", testMediaSwapped)
}

// two is two households with a viewer for each.
type two struct {
	homes   [2]*household
	viewers [2]watcher
}

var twoNames = [2]string{"ours", "theirs"}

func twoHouseholds(t *testing.T, c *evilcloud.Cloud) two {
	t.Helper()
	var h two
	for i, name := range twoNames {
		h.homes[i] = startCamera(t, c, name, i)
		h.viewers[i] = pair(t, h.homes[i])
	}
	return h
}

// watch starts watching both cameras.
func (h two) watch(t *testing.T, relayOnly bool) (people [2]*witness) {
	t.Helper()
	for i, name := range twoNames {
		people[i] = beginWatch(t, h.viewers[i], name, h.homes[i].Mark, relayOnly)
	}
	return people
}

// seeOwn checks that each of them sees their own camera and nothing else.
func (h two) seeOwn(t *testing.T, relayOnly bool) {
	t.Helper()
	people := h.watch(t, relayOnly)
	for i, p := range people {
		p.sees(t, 10)
		p.stop()
		p.sawOwn(t, twoNames[i])
	}
}

// swap confuses the next two connections, once their challenges are done: each is sent what is meant for the other, in
// order.
type swap struct {
	which  func(signaling.Frame) bool                                    // what is exchanged
	change func(a, b signaling.Frame) (signaling.Frame, signaling.Frame) // what it becomes; nil: it stays the same

	mu      sync.Mutex
	lines   []*evilcloud.Line    // the two; guarded by mu
	held    [2][]signaling.Frame // what each has to give, until the other has something too; guarded by mu
	crossed [2]atomic.Int64      // deliveries, by recipient
}

func (s *swap) frames(l *evilcloud.Line, f signaling.Frame, fromRelay bool) (said []evilcloud.Said) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, begins := f.(signaling.Challenge); begins && len(s.lines) < 2 {
		s.lines = append(s.lines, l)
		return []evilcloud.Said{{Line: l, ToClient: true, Frame: f}}
	}

	i := slices.Index(s.lines, l)
	if i < 0 || !fromRelay || !s.which(f) {
		return []evilcloud.Said{{Line: l, ToClient: fromRelay, Frame: f}}
	}
	s.held[i] = append(s.held[i], f)
	for len(s.held[0]) > 0 && len(s.held[1]) > 0 {
		a, b := s.held[0][0], s.held[1][0]
		if s.change != nil {
			a, b = s.change(a, b)
		}
		for who, f := range []signaling.Frame{b, a} {
			s.held[who] = s.held[who][1:]
			if _, ok := f.(signaling.Deliver); ok {
				s.crossed[who].Add(1)
			}
			said = append(said, evilcloud.Said{Line: s.lines[who], ToClient: true, Frame: f})
		}
	}

	return said
}

func (s *swap) bothWays() bool { return s.crossed[0].Load() > 0 && s.crossed[1].Load() > 0 }

// testConnectionsSwapped: everything that the relay answers and delivers to one person goes to the other.
func testConnectionsSwapped(t *testing.T) {
	c := startCloud(t, evilcloud.Config{Middle: true})
	h := twoHouseholds(t, c)
	h.seeOwn(t, false)
	s := &swap{which: func(signaling.Frame) bool { return true }}
	c.SetFrames(s.frames)
	people := h.watch(t, false)
	awaitFault(t, "each camera's answer is delivered to the other viewer", s.bothWays)
	for i, p := range people {
		p.stop()
		p.sawNothing(t, twoNames[i])
	}

	c.Heal()
	h.seeOwn(t, false)
}

// testMailboxesSwapped: the relay confuses the mailboxes of two viewers of one camera, and puts the right name on what
// it delivers.
func testMailboxesSwapped(t *testing.T) {
	c := startCloud(t, evilcloud.Config{Middle: true})
	camera := startCamera(t, c, "front door", 0)
	viewers := [2]watcher{pair(t, camera), pair(t, camera)}
	c.SetFrames((&swap{which: isDeliver, change: exchangeNames}).frames)
	var people [2]*witness
	for i, v := range viewers {
		people[i] = beginWatch(t, v, "front door", camera.Mark, false)
	}

	awaitFault(t, "both people read of what is not for them", func() bool {
		return people[0].report().rejected > 0 && people[1].report().rejected > 0
	})
	for _, p := range people {
		p.stop()
		p.sawNothing(t, "a viewer of the camera")
	}

	c.Heal()
	for _, v := range viewers {
		person := beginWatch(t, v, "front door", camera.Mark, false)
		person.sees(t, 10)
		person.stop()
		person.sawOwn(t, "a viewer after the fault")
	}
}

func isDeliver(f signaling.Frame) bool { _, ok := f.(signaling.Deliver); return ok }

// exchangeNames puts the name of the other's mailbox on each of two deliveries.
func exchangeNames(a, b signaling.Frame) (signaling.Frame, signaling.Frame) {
	d, e := a.(signaling.Deliver), b.(signaling.Deliver)
	d.Name, e.Name = e.Name, d.Name
	return d, e
}

// testCredentialsSwapped: two people get each other's TURN credentials, all of them or only those of their own end.
func testCredentialsSwapped(t *testing.T) {
	c := startCloud(t, evilcloud.Config{Middle: true})
	front := startTURNFront(t, c)
	h := twoHouseholds(t, c)
	t.Run("of both ends", func(t *testing.T) {
		c.SetFrames((&swap{which: isGranted}).frames)
		h.seeOwn(t, true) // credentials allow the use of a relay, and do not decide what may be seen
	})

	t.Run("of the viewers", func(t *testing.T) {
		c.SetFrames((&swap{which: isGranted, change: exchangeCameras}).frames)
		before := front.refusals(stun.CodeForbidden)
		people := h.watch(t, true)
		awaitFault(t, "TURN refuses to join two sessions", func() bool {
			return front.refusals(stun.CodeForbidden) > before+3
		})
		for i, p := range people {
			p.stop()
			p.sawNoStream(t, twoNames[i])
		}
	})

	c.SetFrames(nil)
	h.seeOwn(t, true)
}

func isGranted(f signaling.Frame) bool { _, ok := f.(signaling.Granted); return ok }

// exchangeCameras gives each of two grants the other's credentials for the camera.
func exchangeCameras(a, b signaling.Frame) (signaling.Frame, signaling.Frame) {
	granted := [2]signaling.Granted{a.(signaling.Granted), b.(signaling.Granted)}
	var grants [2]signaling.Grant
	for i := range granted {
		if err := json.Unmarshal(granted[i].JSON, &grants[i]); err != nil {
			panic(err) // the relay's own
		}
	}

	grants[0].Camera, grants[1].Camera = grants[1].Camera, grants[0].Camera
	for i := range granted {
		var err error
		if granted[i].JSON, err = json.Marshal(grants[i]); err != nil {
			panic(err)
		}
	}

	return granted[0], granted[1]
}

// testMediaSwapped: TURN sends each of two viewers, and each of two cameras, what is meant for the other.
func testMediaSwapped(t *testing.T) {
	c := startRelay(t)
	h := twoHouseholds(t, c)
	people := h.watch(t, true)
	for i, p := range people {
		p.sees(t, 10)
		p.sawOwn(t, twoNames[i])
	}

	before := c.Counts().Misrouted
	c.SetTraffic(evilcloud.CrossMedia)
	awaitFault(t, "packets reach the other household", func() bool { return c.Counts().Misrouted > before+200 })
	c.Heal()
	for i, p := range people {
		p.sees(t, 10) // again
		p.stop()
		p.sawOwn(t, twoNames[i])
	}
}
