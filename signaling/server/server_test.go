package server

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
)

func TestOpenNeedsAValidSignature(t *testing.T) {
	e := start(t, Config{})
	mb := newMailbox()
	w := e.wire(t)
	want(t, "open", w.open(mb, signaling.Read), 0)

	other := e.wire(t)
	want(t, "an open made for another connection's challenge",
		other.ask(signaling.SignOpen(e.url, w.nonce, mb, signaling.Read)), signaling.CodeSignature)
	want(t, "an open made for another relay",
		other.ask(signaling.SignOpen("https://relay.example", other.nonce, mb, signaling.Read)),
		signaling.CodeSignature)
	stolen := signaling.SignOpen(e.url, other.nonce, mb, signaling.Read)
	stolen.Access = signaling.Write
	want(t, "a read signature used for writing", other.ask(stolen), signaling.CodeSignature)
	want(t, "a post to a mailbox that was not opened", other.post(mb, 1, 0), signaling.CodeNotOpened)
	want(t, "open for reading", other.open(mb, signaling.Read), 0)
	want(t, "a post to a mailbox open for reading only", other.post(mb, 1, 0), signaling.CodeNotOpened)
	if n := e.Stats.BadSignatures.Load(); n != 3 {
		t.Errorf("%d bad signatures were counted, want 3", n)
	}
}

func TestBodiesAndMailboxesAreBounded(t *testing.T) {
	e := start(t, Config{})
	w, mb := e.wire(t), newMailbox()
	want(t, "open", w.open(mb, signaling.Write), 0)
	want(t, "the largest body", w.post(mb, signaling.MaxBody, 60), 0)
	want(t, "a larger body", w.post(mb, signaling.MaxBody+1, 60), signaling.CodeTooLarge)
	n := 1
	for ; w.post(mb, signaling.MaxBody, 60) == 0; n++ {
	}
	if most := int(1 << 20 / costOf(signaling.MaxBody)); n != most {
		t.Errorf("%d bodies were stored, want %d", n, most)
	}

	want(t, "a body that is not to be stored", w.post(mb, signaling.MaxBody, 0), 0)

	small := newMailbox()
	want(t, "open", w.open(small, signaling.Write), 0)
	for range 256 {
		want(t, "a small body", w.post(small, 1, 60), 0)
	}
	want(t, "one message too many", w.post(small, 1, 60), signaling.CodeQuota)
}

func TestPairingMailboxesAreBounded(t *testing.T) {
	_, operator, _ := ed25519.GenerateKey(nil)
	e := start(t, Config{TicketKey: operator.Public().(ed25519.PublicKey), Granter: granter{}})
	w, mb := e.wire(t), newMailbox()
	mb.Ticket = []byte(signaling.PairingTicket)
	want(t, "open without an operator's ticket", w.open(mb, signaling.Write), 0)
	want(t, "too large for a rendezvous", w.post(mb, 8193, 60), signaling.CodeTooLarge)
	want(t, "a grant on a rendezvous", w.ask(signaling.GrantRequest{ID: 1, Name: mb.Name()}), signaling.CodeNotAdmitted)
	for range 8 {
		want(t, "post", w.post(mb, 8192, 0), 0)
	}
	want(t, "the ninth message", w.post(mb, 1, 0), signaling.CodeQuota)
}

func TestMailboxNeedsATicket(t *testing.T) {
	_, operator, _ := ed25519.GenerateKey(nil)
	e := start(t, Config{TicketKey: operator.Public().(ed25519.PublicKey), Granter: granter{}})
	mb := newMailbox()
	viewer := e.wire(t)
	want(t, "a viewer opens", viewer.open(mb, signaling.Write), 0)
	want(t, "a viewer posts where no camera is", viewer.post(mb, 1, 60), signaling.CodeNotAdmitted)
	want(t, "a viewer asks for a grant where no camera is", viewer.ask(signaling.GrantRequest{ID: 1, Name: mb.Name()}),
		signaling.CodeNotAdmitted)

	camera := e.wire(t)
	mb.Ticket = signaling.Ticket{NotAfter: time.Now().Add(-time.Hour), Mailboxes: 1}.Issue(operator)
	want(t, "an expired ticket", camera.open(mb, signaling.Read), signaling.CodeSignature)
	_, foreign, _ := ed25519.GenerateKey(nil)
	mb.Ticket = signaling.Ticket{NotAfter: time.Now().Add(time.Hour), Mailboxes: 1}.Issue(foreign)
	want(t, "another operator's ticket", camera.open(mb, signaling.Read), signaling.CodeSignature)
	mb.Ticket = signaling.Ticket{NotAfter: time.Now().Add(time.Hour), Mailboxes: 1, SessionsPerHour: 2}.Issue(operator)
	want(t, "the camera opens", camera.open(mb, signaling.Read), 0)
	second := newMailbox()
	second.Ticket = mb.Ticket
	want(t, "a mailbox more than the ticket has", camera.open(second, signaling.Read), signaling.CodeQuota)

	want(t, "the viewer posts", viewer.post(mb, 1, 60), 0)
	for range 2 {
		want(t, "the viewer asks for a grant", viewer.ask(signaling.GrantRequest{ID: 1, Name: mb.Name()}), 0)
	}
	want(t, "a grant more than the ticket has", viewer.ask(signaling.GrantRequest{ID: 1, Name: mb.Name()}),
		signaling.CodeQuota)
}

type granter struct{}

func (granter) Revoke(signaling.Name) {}

func (granter) Grant(string, signaling.Name, string, time.Time) (signaling.Grant, error) {
	return signaling.Grant{
		URLs:   []string{"turn:127.0.0.1:3478?transport=udp"},
		TTL:    60,
		Viewer: signaling.Credentials{Username: "v"},
	}, nil
}

func TestGrantNamesServersForBothEnds(t *testing.T) {
	e := start(t, Config{Granter: granter{}})
	mb := newMailbox()
	g, err := e.client(t).Grant(t.Context(), mb, "")
	if err != nil || len(g.URLs) != 1 || g.TTL != 60 || g.Viewer.Username != "v" {
		t.Errorf("got %+v, %v", g, err)
	}

	_, err = start(t, Config{}).client(t).Grant(t.Context(), mb, "")
	var refusal *signaling.Error
	if !errors.As(err, &refusal) || refusal.Code != signaling.CodeNotAdmitted {
		t.Errorf("from a relay without TURN: %v", err)
	}
}

type brokenGranter struct{ granter }

func (brokenGranter) Grant(string, signaling.Name, string, time.Time) (signaling.Grant, error) {
	return signaling.Grant{}, errors.New("no keys")
}

// If the relay cannot grant servers, the client learns that it should try again, and the operator's log says why.
func TestGrantThatFailsIsExplained(t *testing.T) {
	log := new(syncBuffer)
	e := start(t, Config{Granter: brokenGranter{}, Logger: slog.New(slog.NewTextHandler(log, nil))})
	_, err := e.client(t).Grant(t.Context(), newMailbox(), "")

	var refusal *signaling.Error
	if !errors.As(err, &refusal) || refusal.Text != "no ICE servers now: try again later" {
		t.Errorf("says %v", err)
	}
	if s := log.String(); !strings.Contains(s, `msg="grant ice servers"`) || !strings.Contains(s, "no keys") {
		t.Errorf("logged %s", s)
	}
}

// syncBuffer is a log to which several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestMalformedFrameEndsTheConnection(t *testing.T) {
	e := start(t, Config{})
	for name, b := range map[string][]byte{
		"nonsense":         {0xff, 1, 2},
		"empty":            {},
		"a server's frame": signaling.Append(nil, signaling.OK{ID: 1}),
		"cut short":        signaling.Append(nil, signaling.Ack{})[:20],
	} {
		t.Run(name, func(t *testing.T) {
			w := e.wire(t)
			w.sendBytes(b)
			if f, ok := w.read().(signaling.Refused); !ok || f.ID != 0 || f.Code != signaling.CodeMalformed {
				t.Errorf("got %+v", f)
			}

			if !w.ended() {
				t.Error("the connection went on")
			}
		})
	}

	t.Run("text", func(t *testing.T) {
		w := e.wire(t)
		if err := w.ws.Write(t.Context(), websocket.MessageText, signaling.Append(nil, signaling.Ack{})); err != nil {
			t.Fatal(err)
		}
		if !w.ended() {
			t.Error("the connection went on")
		}
	})

	t.Run("too long", func(t *testing.T) {
		w := e.wire(t)
		w.sendBytes(make([]byte, signaling.MaxFrame+1))
		if !w.ended() {
			t.Error("the connection went on")
		}
	})
}

func TestAckWantsReadAccess(t *testing.T) {
	e := start(t, Config{})
	mb, writer, reader := newMailbox(), e.wire(t), e.wire(t)
	want(t, "open", writer.open(mb, signaling.Write), 0)
	want(t, "post", writer.post(mb, 1, 60), 0)
	reader.send(signaling.SignOpen(e.url, reader.nonce, mb, signaling.Read))
	if _, ok := reader.read().(signaling.OK); !ok {
		t.Fatal("not opened")
	}

	m, ok := reader.read().(signaling.Deliver)
	if !ok {
		t.Fatal("nothing was delivered")
	}
	writer.send(signaling.Ack{Name: mb.Name(), Seq: m.Seq})
	want(t, "a request after the writer's ack", writer.post(mb, 1, 0), 0) // so the ack has been handled
	if n := e.Stats.Acked.Load(); n != 0 {
		t.Error("the writer deleted a message")
	}

	reader.send(signaling.Ack{Name: mb.Name(), Seq: m.Seq})
	want(t, "a request after the reader's ack", reader.open(newMailbox(), signaling.Read), 0)
	if n := e.Stats.Acked.Load(); n != 1 {
		t.Errorf("%d messages were deleted, want 1", n)
	}
}

// A camera that comes back to more messages than its outbox holds gets all of them, in order, as fast as it reads.
func TestBacklogIsDeliveredWhole(t *testing.T) {
	const mailboxes, each = 6, 25
	e := start(t, Config{})
	w := e.wire(t)
	var boxes []signaling.Mailbox
	for range mailboxes {
		mb := newMailbox()
		boxes = append(boxes, mb)
		want(t, "open", w.open(mb, signaling.Write), 0)
		for i := range each {
			body := bytes.Repeat([]byte{byte(i)}, signaling.MaxBody)
			want(t, "post", w.ask(signaling.Post{ID: 2, Name: mb.Name(), TTL: 60, Body: body}), 0)
		}
	}

	reader := e.wire(t)
	for _, mb := range boxes {
		reader.send(signaling.SignOpen(e.url, reader.nonce, mb, signaling.Read))
	}
	next := make(map[signaling.Name]byte)
	for range mailboxes*each + mailboxes {
		m, ok := reader.read().(signaling.Deliver)
		if !ok {
			continue // the answer to an open
		}
		if m.Body[0] != next[m.Name] {
			t.Fatalf("got message %d, want %d", m.Body[0], next[m.Name])
		}
		next[m.Name]++
	}

	if len(next) != mailboxes || e.Stats.SlowReaders.Load() != 0 {
		t.Errorf("%d mailboxes were delivered; %d slow readers", len(next), e.Stats.SlowReaders.Load())
	}
	want(t, "post", w.ask(signaling.Post{ID: 3, Name: boxes[0].Name(), TTL: 0, Body: []byte{each}}), 0)
	if m, ok := reader.read().(signaling.Deliver); !ok || m.Body[0] != each {
		t.Errorf("after the backlog: %+v", m)
	}
}

// TestClientThatAsksAndDoesNotReadIsDropped: a client revokes again and again what it never opened, and does not read
// the answers.
func TestClientThatAsksAndDoesNotReadIsDropped(t *testing.T) {
	s := newServer(t, Config{LoopbackUnlimited: true})
	c, ended := s.visit(t, "127.0.0.1"), false
	c.cancel = func() { ended = true }
	for n := 0; !ended; n++ {
		if n > outboxBytes/frameOverhead {
			t.Fatal("more than two megabytes wait for the client")
		}
		c.handle(t.Context(), signaling.Revoke{ID: 1})
	}

	if n := s.Stats.SlowReaders.Load(); n != 1 {
		t.Errorf("%d slow readers were counted, want 1", n)
	}
}

func TestShutdownTellsEveryClient(t *testing.T) {
	e := start(t, Config{})
	if err := e.Serving(); err != nil {
		t.Error(err)
	}
	w := e.wire(t)
	stopped := make(chan struct{})
	go func() { defer close(stopped); e.stop() }()
	if f, ok := w.read().(signaling.Refused); !ok || f.Code != signaling.CodeClosing || f.ID != 0 {
		t.Errorf("got %+v", f)
	}

	if !w.ended() {
		t.Error("the connection went on")
	}
	<-stopped
	if !errors.Is(e.Serving(), ErrNotServing) {
		t.Error("a stopped server still reports that it serves")
	}

	if n := e.Stats.Connections.Load(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestNewRefusesAnIncompleteConfig(t *testing.T) {
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "public URL") {
		t.Errorf("got %v", err)
	}
}
