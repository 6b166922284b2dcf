package camera

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what must happen; a test that waits for so long has failed.
const patience = 20 * time.Second

// run runs f until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
}

// startRelay serves a relay that admits by tickets.
func startRelay(t *testing.T) (url string, operator ed25519.PrivateKey) {
	t.Helper()
	public, operator, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url = "http://" + l.Addr().String()
	s, err := server.New(server.Config{PublicURL: url, TicketKey: public, Bus: bus.NewLocal(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(signaling.Path, s)
	h := &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	run(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { h.Close() })()
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	run(t, s.Run)
	return url, operator
}

type still struct{ *media.Broadcast }

func (still) State() media.State { return media.State{Live: true} }

// events is what a camera says to the person beside it.
type events struct {
	codes   chan pairing.Code
	paired  chan string
	refused chan error
}

func newCamera(t *testing.T, cfg Config) (*Camera, events) {
	t.Helper()
	e := events{make(chan pairing.Code, 16), make(chan string, 16), make(chan error, 16)}
	cfg.Name, cfg.Stream, cfg.Logger, cfg.PairWindow = "front door", still{media.NewBroadcast()}, slog.New(slog.DiscardHandler), time.Hour
	cfg.OnCode, cfg.OnPaired, cfg.OnRefuse = func(c pairing.Code) { e.codes <- c }, func(v string) { e.paired <- v }, func(err error) { e.refused <- err }
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, e
}

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case x := <-c:
		return x
	case <-time.After(patience):
		t.Fatal("no " + what)
		panic("unreachable")
	}
}

// scan answers a code as a viewer does, until the camera has its last message.
func scan(t *testing.T, self *identity.Private, code pairing.Code) {
	t.Helper()
	client, err := signaling.NewClient(signaling.ClientConfig{URL: code.RelayURL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { _ = client.Run(ctx) })
	defer running.Wait()
	defer cancel()
	scanner := pairing.NewScanner(self, code)
	toDisplayer, toScanner := code.Rendezvous()
	messages := make(chan []byte, 8)
	defer client.Receive(rendezvous(toScanner), func(d signaling.Delivery) bool { messages <- d.Body; return false })()
	for scanner.Pair() == nil {
		reply, err := scanner.Handle(await(t, messages, "message from the camera"))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Send(ctx, rendezvous(toDisplayer), reply, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
}

// A relay that does not let the camera tell the viewer that it is paired leaves no ghost that owns the camera, and no camera that shows no
// code any more.
func TestViewerThatCannotBeToldIsNotPaired(t *testing.T) {
	for _, earlier := range []bool{false, true} {
		url, _ := startRelay(t)
		state := t.TempDir()
		self, err := identity.LoadOrCreate(state)
		if err != nil {
			t.Fatal(err)
		}
		viewer, err := identity.Generate()
		if err != nil {
			t.Fatal(err)
		}
		before := &envelope.Pair{Self: self, Role: identity.Camera, Peer: viewer.Bundle(), Secret: envelope.Secret{1}, MailboxSecret: envelope.Secret{2}}
		store := pairing.NewStore(state, self, identity.Camera)
		if earlier {
			if err := store.Put(pairing.Record{Pair: before, RelayURL: url}); err != nil {
				t.Fatal(err)
			}
		}
		c, e := newCamera(t, Config{State: state, RelayURL: url, PairMore: true}) // no ticket: the pair's mailboxes are refused
		run(t, c.Run)
		scan(t, viewer, await(t, e.codes, "code"))
		if err := await(t, e.refused, "word to the person"); err == nil {
			t.Error("the person is told nothing")
		}
		await(t, e.codes, "next code")
		if c.Owned() != earlier {
			t.Errorf("owned %t, want %t", c.Owned(), earlier)
		}
		kept, err := store.Load()
		if err != nil || len(kept) > 1 || (len(kept) == 1) != earlier || earlier && !kept[0].Pair.Secret.Equal(before.Secret) {
			t.Errorf("%d pairs on disk (%v), want the earlier one: %t", len(kept), err, earlier)
		}
	}
}

func TestPairing(t *testing.T) {
	url, operator := startRelay(t)
	ticket := signaling.Ticket{NotAfter: time.Now().Add(time.Hour), Mailboxes: 100, SessionsPerHour: 100}.Issue(operator)
	c, e := newCamera(t, Config{State: t.TempDir(), RelayURL: url, Ticket: ticket})
	run(t, c.Run)
	viewer, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	scan(t, viewer, await(t, e.codes, "code"))
	if short := await(t, e.paired, "word of the new pair"); short != viewer.Bundle().Fingerprint().Short() || !c.Owned() {
		t.Errorf("paired %s, owned %t", short, c.Owned())
	}
}

// A roster that cannot be read whole opens no set-up window: the owner may be in the damaged part.
func TestDamagedRosterHasAnOwner(t *testing.T) {
	state := t.TempDir()
	if err := os.Mkdir(filepath.Join(state, "pairs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "pairs", "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{State: state, RelayURL: "http://127.0.0.1:1"})
	if !errors.Is(err, pairing.ErrPairFile) || c == nil {
		t.Fatalf("new: %v, %v", c, err)
	}
	if !c.Owned() {
		t.Error("a camera with a damaged roster can be paired by anybody")
	}
}

// A removal that could not be written can be repeated.
func TestRemoveAgain(t *testing.T) {
	state := t.TempDir()
	c, err := New(Config{State: state, RelayURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	viewer, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	pair := &envelope.Pair{Self: c.self, Role: identity.Camera, Peer: viewer.Bundle(), Secret: envelope.Secret{1}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, _, err = c.add(ctx, pairing.Record{Pair: pair, RelayURL: c.cfg.RelayURL})
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := viewer.Bundle().Fingerprint()
	file := filepath.Join(state, "pairs", fingerprint.Short()+".json")
	inTheWay := filepath.Join(file, "x")
	if err := errors.Join(os.Remove(file), os.MkdirAll(inTheWay, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(fingerprint); err == nil {
		t.Fatal("the file cannot be removed, and there is no error")
	}
	c.work.Wait() // it is served no more
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(fingerprint); err != nil {
		t.Errorf("remove again: %v", err)
	}
	if c.Owned() {
		t.Error("still on the roster")
	}
}

// TestCameraSaysBye: a camera that is switched off says so through signaling too, and a viewer to whom no other way has been found yet does not go on waiting.
func TestCameraSaysBye(t *testing.T) {
	url, operator := startRelay(t)
	c, _ := newCamera(t, Config{State: t.TempDir(), RelayURL: url, Ticket: signaling.Ticket{NotAfter: time.Now().Add(time.Hour), Mailboxes: 100, SessionsPerHour: 100}.Issue(operator)})
	self, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	ours := &envelope.Pair{Self: c.self, Role: identity.Camera, Peer: self.Bundle(), Secret: envelope.Secret{1}, MailboxSecret: envelope.Secret{2}}
	theirs := &envelope.Pair{Self: self, Role: identity.Viewer, Peer: c.self.Bundle(), Secret: ours.Secret, MailboxSecret: ours.MailboxSecret}
	record := pairing.Record{Pair: ours, RelayURL: url}
	if err := c.store.Put(record); err != nil {
		t.Fatal(err)
	}
	c.viewers[self.Bundle().Fingerprint()] = &viewer{camera: c, record: record}
	client, err := signaling.NewClient(signaling.ClientConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client.Run)
	serving, off := context.WithCancel(t.Context())
	defer off()
	done := make(chan error, 1)
	go func() { done <- c.Run(serving) }()
	box := theirs.Mailbox(envelope.ToCamera, theirs.Day(time.Now()))
	watch := func() error {
		v, err := session.NewViewer(session.ViewerConfig{Pair: theirs, Signal: client, Inbox: signaling.Mailbox{Read: box.Read, Write: box.Write}, Box: box,
			Carriers: []media.Carrier{media.H264Carrier}, RelayOnly: true, // and there is no relay: no way will be found
			Logger: slog.New(slog.DiscardHandler), OnFrame: func(session.Frame) {},
			OnPhase: func(phase string) {
				if phase == "answered" {
					off()
				}
			}})
		if err != nil {
			return err
		}
		return v.Run(t.Context())
	}
	err = watch()
	for refusal := new(*signaling.Error); errors.As(err, refusal) && (*refusal).Code == signaling.CodeNotAdmitted; {
		err = watch() // the camera has not opened its mailbox yet
	}
	if !errors.Is(err, session.ErrEnded) {
		t.Errorf("the viewer's end: %v", err)
	}
	if err := await(t, done, "end of the camera"); !errors.Is(err, context.Canceled) {
		t.Errorf("the camera's end: %v", err)
	}
}
