package evilcloud

import (
	"testing"

	"github.com/peephole-cam/peephole/signaling/bus"
)

// reader subscribes to a mailbox and counts what comes.
func reader(t *testing.T, d *delivery, name byte) *int {
	t.Helper()
	n := new(int)
	t.Cleanup(d.Subscribe([32]byte{name}, func(bus.Message) { *n++ }))
	return n
}

// An honest cloud delivers to the mailbox that was named.
func TestHonestDelivery(t *testing.T) {
	d := newDelivery()
	first, second := reader(t, d, 1), reader(t, d, 2)
	d.Publish([32]byte{1}, bus.Message{})
	if *first != 1 || *second != 0 || d.crossed.Load() != 0 || d.deliveries.Load() != 1 {
		t.Errorf("%d and %d messages, %d crossed", *first, *second, d.crossed.Load())
	}
}

// A cloud that crosses delivers to others only, and never to the mailbox that was named.
func TestCrossedDelivery(t *testing.T) {
	for name, fault := range map[string]Delivery{"answers": CrossAnswers, "all": CrossAll} {
		t.Run(name, func(t *testing.T) {
			d := newDelivery()
			d.set(fault)
			first, second, third := reader(t, d, 1), reader(t, d, 2), reader(t, d, 3)
			for range 100 {
				d.Publish([32]byte{1}, bus.Message{})
			}
			if *first != 0 || *second == 0 || *third == 0 || *second+*third != 100 || d.crossed.Load() != 100 {
				t.Errorf("%d, %d and %d messages, %d crossed; want none at the first, and some at both others", *first, *second, *third, d.crossed.Load())
			}
		})
	}
}

// With nobody else there a crossed message is lost rather than delivered right.
func TestCrossedDeliveryAlone(t *testing.T) {
	d := newDelivery()
	d.set(CrossAll)
	only := reader(t, d, 1)
	if n := d.Publish([32]byte{1}, bus.Message{}); n != 0 || *only != 0 {
		t.Errorf("%d delivered", *only)
	}
}

// Crossed answers are those of mailboxes that somebody has just begun to read; requests go where they belong.
func TestCrossAnswersLeavesRequests(t *testing.T) {
	d := newDelivery()
	d.set(CrossAnswers)
	camera, viewer, other := reader(t, d, 1), reader(t, d, 2), reader(t, d, 3)
	d.mailboxes.since[[32]byte{1}] = d.mailboxes.since[[32]byte{1}].Add(-2 * freshFor)
	d.Publish([32]byte{1}, bus.Message{})
	d.Publish([32]byte{2}, bus.Message{})
	if *camera != 1 || *viewer != 0 || *other != 1 {
		t.Errorf("camera %d, viewer %d, other %d; want 1, 0, 1", *camera, *viewer, *other)
	}
}

func TestShelf(t *testing.T) {
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
		t.Error("the last one has another beside it")
	}
}
