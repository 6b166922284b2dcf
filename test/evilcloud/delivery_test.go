package evilcloud

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling/bus"
)

// reader subscribes to a mailbox and counts what comes.
func reader(t *testing.T, d *delivery, name byte) *int {
	t.Helper()
	n := new(int)
	t.Cleanup(d.at("here").Subscribe([32]byte{name}, func(bus.Message) { *n++ }))
	return n
}

// An honest cloud delivers to the mailbox that was named.
func TestHonestDelivery(t *testing.T) {
	d := newDelivery(0)
	first, second := reader(t, d, 1), reader(t, d, 2)
	d.Publish([32]byte{1}, bus.Message{})
	if *first != 1 || *second != 0 || d.crossed.Load() != 0 || d.deliveries.Load() != 1 {
		t.Errorf("%d and %d messages, %d crossed", *first, *second, d.crossed.Load())
	}
}

// A cloud that crosses messages delivers to others only, and never to the mailbox that was named.
func TestCrossedDelivery(t *testing.T) {
	for name, fault := range map[string]Delivery{"answers": CrossAnswers, "all": CrossAll} {
		t.Run(name, func(t *testing.T) {
			d := newDelivery(0)
			d.set(fault)
			first, second, third := reader(t, d, 1), reader(t, d, 2), reader(t, d, 3)
			for range 100 {
				d.Publish([32]byte{1}, bus.Message{})
			}

			if *first != 0 || *second == 0 || *third == 0 || *second+*third != 100 || d.crossed.Load() != 100 {
				t.Errorf("%d, %d and %d messages, %d crossed; want none at the first, and some at both others", *first,
					*second, *third, d.crossed.Load())
			}
		})
	}
}

// If nobody else is there, a crossed message is lost: it does not reach the right mailbox.
func TestCrossedDeliveryAlone(t *testing.T) {
	d := newDelivery(0)
	d.set(CrossAll)
	only := reader(t, d, 1)
	if n := d.Publish([32]byte{1}, bus.Message{}); n != 0 || *only != 0 {
		t.Errorf("%d delivered", *only)
	}
}

// Crossed answers are those for mailboxes that somebody has just begun to read. Requests go where they belong, even to
// a camera that comes back.
func TestCrossAnswersLeavesRequests(t *testing.T) {
	d := newDelivery(0)
	camera := reader(t, d, 1)
	d.set(CrossAnswers)
	again := reader(t, d, 1)
	viewer, other, waiting := reader(t, d, 2), reader(t, d, 3), reader(t, d, 4)
	long := d.mailboxes.read[[32]byte{4}]
	long.since = long.since.Add(-2 * freshFor)
	d.Publish([32]byte{1}, bus.Message{})
	d.Publish([32]byte{2}, bus.Message{})
	d.Publish([32]byte{4}, bus.Message{})
	if *camera != 1 || *again != 1 || *viewer != 0 || *other != 1 || *waiting != 1 {
		t.Errorf("camera %d and %d, viewer %d, other %d, waiting for long %d; want 1, 1, 0, 1, 1", *camera, *again,
			*viewer, *other, *waiting)
	}
}

// Once somebody is known to wait for an answer, crossed messages go to such mailboxes.
func TestCrossAnswersReachesViewers(t *testing.T) {
	d := newDelivery(0)
	d.set(CrossAnswers)
	ours, theirs, camera := reader(t, d, 1), reader(t, d, 2), reader(t, d, 3)
	answer := bus.Message{Body: make([]byte, 5000)}
	d.Publish([32]byte{1}, answer)
	before := *theirs + *camera
	for range 20 {
		d.Publish([32]byte{2}, answer)
	}

	if *ours != 20 || before != 1 {
		t.Errorf("%d of 20 answers reached the other viewer; the first went to %d", *ours, before)
	}
}

func TestShelfFindsAnotherName(t *testing.T) {
	s := newShelf()
	for i := range byte(50) {
		s.put([32]byte{i})
	}
	for i := range byte(49) {
		s.take([32]byte{i})
		s.take([32]byte{i})
	}

	if name, ok := s.other([32]byte{7}); !ok || name != [32]byte{49} {
		t.Errorf("other: %v, %v", name, ok)
	}
	if _, ok := s.other([32]byte{49}); ok {
		t.Error("found another name beside the last one")
	}
}

// inbox keeps what was delivered to a mailbox.
type inbox struct {
	mu     sync.Mutex
	bodies []string // guarded by mu
}

func (i *inbox) list() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.bodies...)
}

// reading subscribes to a mailbox at a node.
func reading(t *testing.T, d *delivery, name byte, node string) *inbox {
	t.Helper()
	i := &inbox{}
	t.Cleanup(d.at(node).Subscribe([32]byte{name}, func(m bus.Message) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.bodies = append(i.bodies, string(m.Body))
	}))

	return i
}

// Each fault brings a message to the wrong place, at the wrong time, or as something else, and leaves what was posted
// unchanged.
func TestFaultsOfDeliveryLeaveThePostUnchanged(t *testing.T) {
	cloud := &Cloud{delivery: newDelivery(8)}
	cloud.delivery.Publish([32]byte{1}, bus.Message{Body: []byte("old")})
	for _, tt := range []struct {
		name  string
		fault Delivery
		want  func(here, there, elsewhere []string, c Counts) bool
	}{
		{"other node", CrossNodes, func(here, there, elsewhere []string, c Counts) bool {
			return len(here)+len(there) == 0 && len(elsewhere) == 2 && c.Crossed == 2
		}},
		{"twice", Twice, func(here, _, _ []string, c Counts) bool { return len(here) == 4 && c.Repeated == 2 }},
		{"late", Late(time.Millisecond), func(here, _, _ []string, c Counts) bool {
			return len(here) == 2 && c.Late == 2
		}},
		{"reordered", Reordered(), func(here, _, _ []string, c Counts) bool {
			return len(here) == 2 && here[0] == "second" && here[1] == "first" && c.Late == 1
		}},
		{"truncated", Truncated, func(here, _, _ []string, c Counts) bool {
			return len(here) == 2 && len(here[0]) < len("first") && len(here[1]) < len("second") && c.Changed == 2
		}},
		{"flipped", Flipped, func(here, _, _ []string, c Counts) bool {
			return len(here) == 2 && len(here[0]) == len("first") && here[0] != "first" && here[1] != "second" &&
				c.Changed == 2
		}},
		{"replayed", cloud.Replayed(), func(here, _, _ []string, c Counts) bool {
			return len(here) == 4 && here[0] == "old" && here[1] == "first" && here[2] == "old" &&
				here[3] == "second" && c.Changed == 2
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDelivery(0)
			d.set(tt.fault)
			here, there, elsewhere := reading(t, d, 1, "here"), reading(t, d, 2, "here"), reading(t, d, 3, "elsewhere")
			first, second := []byte("first"), []byte("second")
			d.Publish([32]byte{1}, bus.Message{Body: first})
			d.Publish([32]byte{1}, bus.Message{Body: second})

			eventually(t, "the fault acts", func() bool {
				return tt.want(here.list(), there.list(), elsewhere.list(), (&Cloud{
					delivery: d,
					middle:   newMiddle(),
					office:   newOffice(),
				}).Counts())
			})

			if !bytes.Equal(first, []byte("first")) || !bytes.Equal(second, []byte("second")) {
				t.Error("what was posted has changed")
			}
		})
	}
}

// A mailbox is read until its last reader has gone.
func TestMailboxReadTwice(t *testing.T) {
	m := newMailboxes()
	m.open([32]byte{1}, "a")
	m.open([32]byte{1}, "b")
	m.open([32]byte{2}, "b")
	m.close([32]byte{1})
	if name, ok := m.Another([32]byte{2}); !ok || name != [32]byte{1} {
		t.Error("it is still read")
	}

	if _, ok := m.Elsewhere([32]byte{2}); ok {
		t.Error("nobody reads at another node")
	}
	m.close([32]byte{1})
	if _, ok := m.Another([32]byte{2}); ok || m.Fresh([32]byte{1}) {
		t.Error("nobody reads it any more")
	}
}

// The memory of posted messages is bounded.
func TestMemoryOfMessagesIsBounded(t *testing.T) {
	d := newDelivery(3)
	for i := range byte(10) {
		d.Publish([32]byte{i}, bus.Message{Body: []byte{i}})
	}
	if got := d.recorded(); len(got) != 3 || got[2].Body[0] != 9 || got[0].Name != [32]byte{7} {
		t.Errorf("remembered %v", got)
	}
}
