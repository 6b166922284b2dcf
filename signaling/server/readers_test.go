package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// TestThirdReaderReplacesTheOldest: a third reader replaces the oldest, so that half-open connections and forgotten
// tabs cannot keep anybody from a mailbox.
func TestThirdReaderReplacesTheOldest(t *testing.T) {
	e := start(t, Config{})
	mb, writer := newMailbox(), e.wire(t)
	want(t, "open", writer.open(mb, signaling.Write), 0)
	var readers []*wire
	for range 3 {
		w := e.wire(t)
		want(t, "open for reading", w.open(mb, signaling.Read), 0)
		readers = append(readers, w)
	}

	f, ok := readers[0].read().(signaling.Closed)
	if !ok || f.Name != mb.Name() || f.Code != signaling.CodeReplaced ||
		f.Text != "another device or tab is reading this mailbox" {
		t.Errorf("the oldest reader gets %+v", f)
	}

	want(t, "post", writer.post(mb, 7, 60), 0)
	for _, w := range readers[1:] {
		if m := w.delivery(); len(m.Body) != 7 {
			t.Errorf("delivered %+v", m)
		}
	}

	// A replaced reader gets nothing more. It may come back, and then replaces the oldest reader.
	want(t, "the replaced one opens another mailbox", readers[0].open(newMailbox(), signaling.Read), 0)
	want(t, "the replaced one comes back", readers[0].open(mb, signaling.Read), 0)
	if m := readers[0].delivery(); len(m.Body) != 7 {
		t.Errorf("delivered %+v", m)
	}

	if f, ok := readers[1].read().(signaling.Closed); !ok || f.Code != signaling.CodeReplaced {
		t.Errorf("the oldest reader hears %+v", f)
	}
	if n := e.Stats.Replaced.Load(); n != 2 {
		t.Errorf("%d readers were replaced, want 2", n)
	}
}

// TestReaderThatBeginsAgainReplacesNobody: a client that opens a mailbox which it already reads is not a third reader.
func TestReaderThatBeginsAgainReplacesNobody(t *testing.T) {
	e := start(t, Config{})
	mb, first, second := newMailbox(), e.wire(t), e.wire(t)
	for range 3 {
		want(t, "open", first.open(mb, signaling.Read), 0)
		want(t, "open", second.open(mb, signaling.Read), 0)
	}

	if n := e.Stats.Replaced.Load(); n != 0 {
		t.Errorf("%d readers were replaced", n)
	}

	sh := e.store.lockShard(mb.Name()) // the connections may be closing already
	defer sh.mu.Unlock()
	if n := len(sh.boxes[mb.Name()].readers); n != 2 {
		t.Errorf("%d readers are known, want 2", n)
	}
}

// TestSlowReaderMissesNothingThatIsStored: a reader leaves more unread than its outbox holds. The rest waits in the
// store, is not charged twice, and comes in order.
func TestSlowReaderMissesNothingThatIsStored(t *testing.T) {
	const mailboxes, each = 14, 25 // 14 MB, of which the server's kernel buffers 4
	e := start(t, Config{})
	reader, writer := e.narrow(t), e.wire(t)
	var boxes []signaling.Mailbox
	for range mailboxes {
		mb := newMailbox()
		boxes = append(boxes, mb)
		want(t, "open for reading", reader.open(mb, signaling.Read), 0)
		want(t, "open for writing", writer.open(mb, signaling.Write), 0)
	}

	for i := range each {
		for _, mb := range boxes {
			body := bytes.Repeat([]byte{byte(i)}, signaling.MaxBody)
			want(t, "post", writer.ask(signaling.Post{ID: 2, Name: mb.Name(), TTL: 60, Body: body}), 0)
		}
	}

	next := make(map[signaling.Name]byte)
	for range mailboxes * each {
		m := reader.delivery()
		if m.Body[0] != next[m.Name] {
			t.Fatalf("got message %d, want %d", m.Body[0], next[m.Name])
		}
		next[m.Name]++
	}

	if n := e.Stats.SlowReaders.Load(); n != 0 {
		t.Errorf("%d readers were dropped", n)
	}
	want(t, "post", writer.ask(signaling.Post{ID: 3, Name: boxes[0].Name(), TTL: 60, Body: []byte{each}}), 0)
	if m := reader.delivery(); m.Body[0] != each {
		t.Errorf("after the backlog: message %d", m.Body[0])
	}
}

// TestMessageReadFromTheStoreIsNotDeliveredAgain: a reader may find a message in the store before it is published.
func TestMessageReadFromTheStoreIsNotDeliveredAgain(t *testing.T) {
	mb := newMailbox()
	to := &stuck{Local: bus.NewLocal(), name: mb.Name(), reached: make(chan struct{}), release: make(chan struct{})}
	e := start(t, Config{Bus: to})
	writer, reader := e.wire(t), e.wire(t)
	want(t, "open", writer.open(mb, signaling.Write), 0)
	writer.send(signaling.Post{ID: 1, Name: mb.Name(), TTL: 60, Body: []byte{1}})
	<-to.reached

	want(t, "open", reader.open(mb, signaling.Read), 0)
	if m := reader.delivery(); m.Body[0] != 1 {
		t.Fatalf("message %d", m.Body[0])
	}
	e.untilLive(t, mb)
	close(to.release)
	want(t, "post", writer.ask(signaling.Post{ID: 2, Name: mb.Name(), TTL: 60, Body: []byte{2}}), 0)
	want(t, "post", writer.ask(signaling.Post{ID: 3, Name: mb.Name(), TTL: 60, Body: []byte{3}}), 0)
	for _, n := range []byte{2, 3} {
		if m := reader.delivery(); m.Body[0] != n {
			t.Errorf("message %d, want %d", m.Body[0], n)
		}
	}
}

// TestManyPostersOfOneMailboxAreOneOrder: all readers see the messages of many posters in the same order, although no
// lock is held while messages are published.
func TestManyPostersOfOneMailboxAreOneOrder(t *testing.T) {
	const posters, each, readers = 8, 60, 2
	e := start(t, Config{})
	mb := newMailbox()
	var heard []*wire
	for range readers {
		w := e.wire(t)
		want(t, "open", w.open(mb, signaling.Read), 0)
		heard = append(heard, w)
	}
	e.untilLive(t, mb)

	var posting sync.WaitGroup
	for i := range posters {
		w := e.wire(t)
		want(t, "open", w.open(mb, signaling.Write), 0)
		posting.Go(func() {
			for n := range each {
				body := binary.BigEndian.AppendUint32([]byte{byte(i)}, uint32(n))
				w.send(signaling.Post{ID: 2, Name: mb.Name(), TTL: uint32(n % 2 * 60), Body: body})
			}
		})
	}
	posting.Wait()

	var first []uint64
	for i, w := range heard {
		var got []uint64
		next := make(map[byte]uint32)
		for range posters * each {
			m := w.delivery()
			if n := binary.BigEndian.Uint32(m.Body[1:]); n != next[m.Body[0]] {
				t.Fatalf("reader %d: message %d of poster %d, want %d", i, n, m.Body[0], next[m.Body[0]])
			}
			next[m.Body[0]]++
			if len(got) > 0 && m.Seq <= got[len(got)-1] {
				t.Fatalf("reader %d: %d after %d", i, m.Seq, got[len(got)-1])
			}
			got = append(got, m.Seq)
		}

		if i == 0 {
			first = got
		} else if fmt.Sprint(got) != fmt.Sprint(first) {
			t.Error("two readers saw two orders")
		}
	}
}

// untilLive waits until all readers of a mailbox have got the stored messages.
func (e *endpoint) untilLive(t *testing.T, mb signaling.Mailbox) {
	t.Helper()
	until(t, "the readers are live", func() bool {
		sh := e.store.lockShard(mb.Name())
		defer sh.mu.Unlock()
		return !slices.ContainsFunc(sh.boxes[mb.Name()].readers, func(r *reader) bool { return !r.live.Load() })
	})
}

// stuck is a bus that passes on nothing for one mailbox until it is released.
type stuck struct {
	*bus.Local
	name    signaling.Name
	reached chan struct{} // closed when somebody is stuck
	release chan struct{} // close it to let the bus go on
	once    sync.Once
}

func (b *stuck) Publish(name [32]byte, m bus.Message) int {
	if name == b.name {
		b.once.Do(func() { close(b.reached) })
		<-b.release
	}
	return b.Local.Publish(name, m)
}

// TestSlowFanOutHoldsUpNoOtherMailbox: the store holds no lock while it serves readers.
func TestSlowFanOutHoldsUpNoOtherMailbox(t *testing.T) {
	to := &stuck{
		Local:   bus.NewLocal(),
		name:    signaling.Name{1},
		reached: make(chan struct{}),
		release: make(chan struct{}),
	}

	s, class := newStore(new(Stats), to, nil, "here"), newClass(1<<30, openParts)
	who, other := household(class, "192.0.2.1"), signaling.Name{1, 1} // in the same shard
	h, ho := mustOpen(t, s, to.name, who, nil, begin), mustOpen(t, s, other, who, nil, begin)

	done := make(chan *signaling.Error)
	go func() { done <- s.post(to.name, h, []byte{1}, time.Minute, begin) }()
	<-to.reached
	for range 2 { // the stuck mailbox accepts messages, too: a queue keeps their order
		mustPost(t, s, other, ho, 1, time.Minute, begin)
		mustPost(t, s, to.name, h, 1, time.Minute, begin)
	}

	s.sweep(begin)
	if n := s.waiting(to.name, begin); n != 3 {
		t.Errorf("%d messages wait, want 3", n)
	}
	close(to.release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestUnpublishedMessagesAreBounded: a bus that hangs does not fill the memory.
func TestUnpublishedMessagesAreBounded(t *testing.T) {
	to := &stuck{
		Local:   bus.NewLocal(),
		name:    signaling.Name{1},
		reached: make(chan struct{}),
		release: make(chan struct{}),
	}

	s, class := newStore(new(Stats), to, nil, "here"), newClass(1<<30, openParts)
	h := mustOpen(t, s, to.name, household(class, "192.0.2.1"), nil, begin)
	var posting sync.WaitGroup
	posting.Go(func() { _ = s.post(to.name, h, []byte{1}, 0, begin) })
	<-to.reached
	defer posting.Wait()
	defer close(to.release)

	for range maxUnpublished {
		mustPost(t, s, to.name, h, 1, 0, begin)
	}
	if err := s.post(to.name, h, []byte{1}, 0, begin); err != errQuota {
		t.Errorf("one more message: %v", err)
	}
}

// overtaking is a bus on which the second of two messages for one mailbox overtakes the first.
type overtaking struct {
	*bus.Local
	name signaling.Name

	mu   sync.Mutex
	held []bus.Message // guarded by mu; the first of two, until the second has passed
}

func (b *overtaking) Publish(name [32]byte, m bus.Message) int {
	b.mu.Lock()
	defer b.mu.Unlock()

	switch {
	case name != b.name:
		return b.Local.Publish(name, m)
	case len(b.held) == 0:
		b.held = []bus.Message{m}
		return 0
	}

	first := b.held[0]
	b.held = nil
	return b.Local.Publish(name, m) + b.Local.Publish(name, first)
}

// TestOvertakenMessageIsDelivered: if a later message overtakes another, the reader still gets both, and each once.
func TestOvertakenMessageIsDelivered(t *testing.T) {
	for _, tt := range []struct {
		name string
		ttl  uint32
	}{
		{"stored", 60},
		{"not stored", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mb := newMailbox()
			e := start(t, Config{Bus: &overtaking{Local: bus.NewLocal(), name: mb.Name()}})
			writer, reader := e.wire(t), e.wire(t)
			want(t, "open", writer.open(mb, signaling.Write), 0)
			want(t, "open", reader.open(mb, signaling.Read), 0)
			e.untilLive(t, mb)

			var got []byte
			for n := range byte(6) {
				want(t, "post", writer.ask(signaling.Post{ID: 2, Name: mb.Name(), TTL: tt.ttl, Body: []byte{n}}), 0)
			}
			for range 6 {
				got = append(got, reader.delivery().Body[0])
			}

			if want := []byte{1, 0, 3, 2, 5, 4}; !bytes.Equal(got, want) {
				t.Errorf("delivered %v, want %v", got, want)
			}
			if n := e.Stats.Delivered.Load(); n != 6 {
				t.Errorf("%d deliveries, want 6", n)
			}
		})
	}
}

// TestReadersThatEndedAreForgotten opens a mailbox for reading again and again, on a connection that always has another
// frame to write first, so that stored messages are never delivered.
func TestReadersThatEndedAreForgotten(t *testing.T) {
	s := newServer(t, Config{LoopbackUnlimited: true})
	c, mb := s.visit(t, "127.0.0.1"), newMailbox()
	other := newMailbox()
	for range 500 {
		for _, mb := range []signaling.Mailbox{mb, other} {
			c.handle(t.Context(), signaling.SignOpen(s.cfg.PublicURL, c.nonce, mb, signaling.Read))
		}
		c.handle(t.Context(), signaling.Close{Name: other.Name()})
		c.out.popFrame(c.out.frames[0])
		c.out.popFrame(c.out.frames[0])
	}

	if n := len(c.out.replays); n > 100 {
		t.Errorf("%d readers wait for stored messages, although one mailbox is open", n)
	}
}
