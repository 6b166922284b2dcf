package server

import (
	"bytes"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// crossing is a bus that delivers one mailbox's messages to another.
type crossing struct {
	*bus.Local
	mu   sync.Mutex
	to   map[signaling.Name]signaling.Name // guarded by mu
	node string                            // guarded by mu; replaces the true node unless empty
}

func (b *crossing) Publish(name [32]byte, m bus.Message) int {
	b.mu.Lock()
	to, ok := b.to[name]
	if b.node != "" {
		m.Node = b.node
	}
	b.mu.Unlock()

	if ok {
		name = to
	}
	return b.Local.Publish(name, m)
}

// counted returns the rejections so far, by node, without zeros.
func (e *endpoint) counted() map[string]int64 {
	got := make(map[string]int64)
	for node, n := range e.Stats.Rejected {
		if n := n.Load(); n != 0 {
			got[node] = n
		}
	}
	return got
}

// wantCounted waits until exactly these rejections are counted.
func (e *endpoint) wantCounted(t *testing.T, want map[string]int64, ignored int64) {
	t.Helper()
	until(t, "the wanted rejections are counted", func() bool {
		return maps.Equal(e.counted(), want) && e.Stats.RejectsIgnored.Load() == ignored
	})
}

func (w *wire) delivery() signaling.Deliver {
	w.t.Helper()
	for {
		if f, ok := w.read().(signaling.Deliver); ok {
			return f
		}
	}
}

// settled waits until the server has handled everything that was sent before.
func (w *wire) settled() { w.t.Helper(); w.ask(signaling.GrantRequest{ID: 9}) }

// A node counts its clients' rejections by the node where the message was posted, once for each delivery, and only for
// messages that it has delivered.
func TestRejectionsNameTheNodes(t *testing.T) {
	cross := &crossing{Local: bus.NewLocal(), to: make(map[signaling.Name]signaling.Name)}
	east := start(t, Config{Bus: cross, Node: "east", Peers: []string{"west"}})
	west := start(t, Config{Bus: cross, Node: "west", Peers: []string{"east"}})
	ours, theirs := newMailbox(), newMailbox()
	sender, owner, receiver := west.wire(t), east.wire(t), east.wire(t)
	want(t, "open", sender.open(theirs, signaling.Write), 0)
	want(t, "open", owner.open(ours, signaling.Write), 0)
	want(t, "open", receiver.open(ours, signaling.Read), 0)

	want(t, "post", owner.post(ours, 1, 60), 0)
	if d := receiver.delivery(); d.Name != ours.Name() {
		t.Fatal("an honest bus delivers to another mailbox")
	}
	east.wantCounted(t, map[string]int64{}, 0)

	cross.mu.Lock()
	cross.to[theirs.Name()] = ours.Name()
	cross.mu.Unlock()

	// The message is not kept, because one that is kept on another node may arrive before this mailbox is live.
	want(t, "post", sender.post(theirs, 1, 0), 0)
	d := receiver.delivery()
	reject := signaling.Reject{Name: d.Name, Seq: d.Seq}
	receiver.send(signaling.Ack{Name: d.Name, Seq: d.Seq}) // a client may judge later than it acks
	receiver.send(reject)
	east.wantCounted(t, map[string]int64{"west": 1}, 0)
	receiver.send(reject)
	receiver.send(signaling.Reject{Name: d.Name, Seq: d.Seq + 1})
	receiver.send(signaling.Reject{Name: theirs.Name(), Seq: d.Seq})
	east.wantCounted(t, map[string]int64{"west": 1}, 3)
	sender.send(reject) // nothing was delivered here
	west.wantCounted(t, map[string]int64{}, 1)

	cross.mu.Lock()
	cross.node = "mailbox 0123, or whatever a broken node says"
	cross.mu.Unlock()
	want(t, "post", sender.post(theirs, 1, 0), 0)
	d = receiver.delivery()
	receiver.send(signaling.Reject{Name: d.Name, Seq: d.Seq})
	east.wantCounted(t, map[string]int64{"west": 1, OtherNode: 1}, 3)
}

// The rejection of a stored message counts like that of one that is delivered at once. If the message is delivered
// again, it can be rejected again.
func TestRejectionsOfStoredMessages(t *testing.T) {
	e := start(t, Config{})
	mb := newMailbox()
	sender := e.wire(t)
	want(t, "open", sender.open(mb, signaling.Write), 0)
	want(t, "post", sender.post(mb, 1, 60), 0)
	for n := int64(1); n <= 2; n++ {
		w := e.wire(t)
		want(t, "open", w.open(mb, signaling.Read), 0)
		d := w.delivery()
		w.send(signaling.Reject{Name: d.Name, Seq: d.Seq})
		e.wantCounted(t, map[string]int64{defaultNode: n}, 0)
	}
}

// A rejection is not an ack. The message stays for its real recipient.
func TestRejectDeletesNothing(t *testing.T) {
	e := start(t, Config{})
	mb := newMailbox()
	w := e.wire(t)
	want(t, "open", w.open(mb, signaling.Write), 0)
	want(t, "post", w.post(mb, 1, 60), 0)
	want(t, "open", w.open(mb, signaling.Read), 0)
	d := w.delivery()
	w.send(signaling.Reject{Name: d.Name, Seq: d.Seq})
	w.settled()
	if n := e.store.waiting(mb.Name(), time.Now()); n != 1 {
		t.Errorf("%d messages wait, want 1", n)
	}
}

// Each of the last deliveredKept deliveries can be rejected once. Older ones are forgotten.
func TestDeliveredIsBounded(t *testing.T) {
	var d delivered
	for seq := range uint64(3*deliveredKept + 5) {
		d.remember(signaling.Name{1}, seq, "n")
	}
	if len(d.last) != deliveredKept {
		t.Errorf("%d are kept, want %d", len(d.last), deliveredKept)
	}

	known := 0
	for range 2 {
		for seq := range uint64(3*deliveredKept + 5) {
			if _, ok := d.markRejected(signaling.Name{1}, seq); ok {
				if known++; seq < 2*deliveredKept+5 {
					t.Fatalf("delivery %d is still known", seq)
				}
			}
		}
	}

	if known != deliveredKept {
		t.Errorf("%d could be rejected, want %d", known, deliveredKept)
	}
}

// A lying client can raise the counters only at a limited rate, and gains nothing by reconnecting.
func TestRejectionsOfAnAddressAreLimited(t *testing.T) {
	e := start(t, Config{})
	now := time.Now()
	for _, tt := range []struct {
		name  string
		after time.Duration
		least int
		most  int
	}{
		{"at once", 0, 32, 32},
		{"after coming back", 0, 0, 0},
		{"after ten seconds", 10 * time.Second, 8, 10},
		{"after an hour", time.Hour, 32, 32},
	} {
		c := newConn(e.Server, nil, e.accountOf(quietAddr), nil) // each time a new connection
		for seq := range uint64(100) {
			c.delivered.remember(signaling.Name{1}, seq, defaultNode)
		}
		before := e.Stats.Rejected[defaultNode].Load()
		for seq := range uint64(100) {
			c.reject(signaling.Reject{Name: signaling.Name{1}, Seq: seq}, now.Add(tt.after))
		}

		if n := int(e.Stats.Rejected[defaultNode].Load() - before); n < tt.least || n > tt.most {
			t.Errorf("%s: %d rejections count, want %d to %d", tt.name, n, tt.least, tt.most)
		}
	}
}

// Over the wire, rejections beyond the limit are ignored, and counted as ignored.
func TestTooManyRejectionsAreIgnored(t *testing.T) {
	e := start(t, Config{})
	c := newConn(e.Server, nil, e.accountOf(quietAddr), nil)
	now := time.Now()
	for seq := range uint64(rejectBurst + 7) {
		c.delivered.remember(signaling.Name{1}, seq, defaultNode)
		c.reject(signaling.Reject{Name: signaling.Name{1}, Seq: seq}, now)
	}
	e.wantCounted(t, map[string]int64{defaultNode: rejectBurst}, 7)
}

// Neither the counters nor the log name a mailbox or a client.
func TestRejectionsNameNobody(t *testing.T) {
	var said bytes.Buffer
	s, err := New(Config{
		PublicURL: "http://127.0.0.1",
		Bus:       bus.NewLocal(),
		Logger:    slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}

	c := newConn(s, nil, s.accountOf(quietAddr), nil)
	name := signaling.Name{0xab, 0xcd}
	c.delivered.remember(name, 77123, defaultNode)
	c.reject(signaling.Reject{Name: name, Seq: 77123}, time.Now())
	line := strings.TrimSpace(said.String())
	if _, message, _ := strings.Cut(line,
		"level="); message != `DEBUG msg="a client rejected a delivery" posted=relay delivered=relay` {
		t.Errorf("logged %q", line)
	}
}

func TestCheckNodeRefusesOtherNames(t *testing.T) {
	for name, good := range map[string]bool{
		"relay": true, "eu-1.relay.example": true, "2001:db8::1": true, "A_1": true,
		"": false, OtherNode: false, "a b": false, "a\n": false, `a"`: false, "é": false,
		strings.Repeat("a", 254): false,
	} {
		if err := CheckNode(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := New(Config{
			PublicURL: "u",
			Bus:       bus.NewLocal(),
			Logger:    quiet,
			Peers:     []string{name},
		}); (err == nil) != good {
			t.Errorf("a peer %q: %v", name, err)
		}
	}

	s, err := New(Config{
		PublicURL: "u",
		Bus:       bus.NewLocal(),
		Logger:    quiet,
		Node:      "east",
		Peers:     []string{"west"},
	})
	if err != nil {
		t.Fatal(err)
	}

	if want := map[string]*atomic.Int64{"east": nil, "west": nil, OtherNode: nil}; len(s.Stats.Rejected) != len(want) ||
		s.Stats.Rejected["east"] == nil || s.Stats.Rejected["west"] == nil {
		t.Errorf("there are counters for %v", s.Stats.Rejected)
	}
}
