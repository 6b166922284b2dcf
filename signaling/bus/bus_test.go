package bus

import (
	"slices"
	"sync"
	"testing"
)

func TestLocalDeliversInOrderUntilStop(t *testing.T) {
	b := NewLocal()
	a, other := [32]byte{1}, [32]byte{1, 1} // in the same shard
	var first, second []uint64
	stopFirst := b.Subscribe(a, func(m Message) { first = append(first, m.Seq) })
	stopSecond := b.Subscribe(a, func(m Message) { second = append(second, m.Seq) })
	for seq := range uint64(3) {
		if n := b.Publish(a, Message{Seq: seq}); n != 2 {
			t.Errorf("%d subscribers, want 2", n)
		}
	}

	if n := b.Publish(other, Message{Seq: 9}); n != 0 {
		t.Errorf("%d subscribers of another name", n)
	}
	stopFirst()
	stopFirst() // may be called again
	b.Publish(a, Message{Seq: 3})
	stopSecond()
	if n := b.Publish(a, Message{Seq: 4}); n != 0 {
		t.Errorf("%d subscribers after stop", n)
	}

	if !slices.Equal(first, []uint64{0, 1, 2}) || !slices.Equal(second, []uint64{0, 1, 2, 3}) {
		t.Errorf("got %v and %v", first, second)
	}
	for i := range b.shard {
		if n := len(b.shard[i].subs); n != 0 {
			t.Errorf("%d names are left", n)
		}
	}
}

func TestLocalIsSafeForConcurrentUse(t *testing.T) {
	b := NewLocal()
	var all sync.WaitGroup
	for i := range byte(8) {
		all.Go(func() {
			for range 500 {
				got := 0
				stop := b.Subscribe([32]byte{i % 2}, func(Message) { got++ })
				if n := b.Publish([32]byte{i % 2}, Message{}); n < 1 {
					t.Error("a publisher does not reach itself")
				}

				stop()
				if got < 1 {
					t.Error("nothing was delivered")
				}
			}
		})
	}
	all.Wait()
}
