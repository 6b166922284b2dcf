package server

import (
	"net/netip"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// TestReadersThatDoNotReadAreBounded posts 1 MB to each of many mailboxes that two readers at one address open but do
// not read. What waits to be written to them stays within the address's share, and takes nothing from others.
func TestReadersThatDoNotReadAreBounded(t *testing.T) {
	const memory = 512 << 20
	s := newServer(t, Config{Memory: memory})
	poster := household(unlimited(), "127.0.0.1")
	var readers []*conn
	for i := range 40 {
		h := mustOpen(t, s.store, nameOf(1, i), poster, nil, begin)
		for range readersPerBox {
			c := s.visit(t, "2001:db8::1")
			if err := c.opens(nameOf(1, i), signaling.Read, nil); err != nil {
				t.Fatal(err)
			}
			r := c.boxes[nameOf(1, i)].reader
			r.subscribe(s.cfg.Bus)
			r.live.Store(true)
			readers = append(readers, c)
		}

		for range 25 {
			mustPost(t, s.store, nameOf(1, i), h, signaling.MaxBody, time.Minute, begin)
		}
	}

	pool := int64(memory) / 32 * openParts.buffers
	if used := s.addresses.buffers.Used(); used > pool/16 || used < pool/32 {
		t.Errorf("%d bytes of a pool of %d wait to be written", used, pool)
	}
	replaying := 0
	for _, c := range readers {
		if len(c.out.replays) > 0 {
			replaying++
		}
	}

	if replaying < len(readers)/2 || s.Stats.SlowReaders.Load() != 0 {
		t.Errorf("%d of %d readers will continue from the store, %d were dropped", replaying, len(readers),
			s.Stats.SlowReaders.Load())
	}

	honest := s.visit(t, "2001:db8:0:1::1")
	if !honest.deliver(nameOf(2, 0), bus.Message{Body: make([]byte, signaling.MaxBody)}) {
		t.Error("another address has no room for one message")
	}
}

// TestConnectionHasTwoMegabytesInHand: at most 2 MB wait to be written to a connection, however large its payer's
// share.
func TestConnectionHasTwoMegabytesInHand(t *testing.T) {
	c, queued := newServer(t, Config{LoopbackUnlimited: true}).visit(t, "127.0.0.1"), 0
	for c.deliver(nameOf(1, queued/100_000), bus.Message{Body: make([]byte, 1000)}) {
		queued += 1000
	}
	if queued < 1500_000 || queued > 2<<20 {
		t.Errorf("%d bytes wait to be written", queued)
	}
}

// TestStoredMessageWaitsForRoomToBeWritten: the client pays for a frame while the frame is written, and a message for
// which there is no room is not lost.
func TestStoredMessageWaitsForRoomToBeWritten(t *testing.T) {
	e := start(t, Config{})
	mb, writer, reader := newMailbox(), e.wireFrom(t, "192.0.2.1"), e.wireFrom(t, "2001:db8::1")
	want(t, "open", writer.open(mb, signaling.Write), 0)
	want(t, "post", writer.post(mb, signaling.MaxBody, 60), 0)

	share := e.accountOf(netip.MustParseAddr("2001:db8::1"))
	taken, err := e.addresses.buffers.Acquire(share.payer, 0)
	for err == nil {
		err = taken.Grow(1000)
	}

	reader.send(signaling.SignOpen(e.url, reader.nonce, mb, signaling.Read))
	if _, ok := reader.read().(signaling.OK); !ok {
		t.Fatal("not opened")
	}
	for range 3 { // the answers overtake the message that has no room
		want(t, "a request", reader.ask(signaling.GrantRequest{ID: 9}), signaling.CodeNotOpened)
	}

	if n := e.Stats.Delivered.Load(); n != 0 {
		t.Errorf("%d messages were delivered without room", n)
	}
	taken.Release()
	if m := reader.delivery(); len(m.Body) != signaling.MaxBody {
		t.Errorf("delivered %d bytes", len(m.Body))
	}
}
