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

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/test/noleak"
)

func TestMain(m *testing.M) { noleak.Main(m) }

// patience is how long a test waits for something before it fails.
const patience = 2 * time.Minute

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

// startRelay serves a relay that requires tickets.
func startRelay(t *testing.T) (url string, operator ed25519.PrivateKey) {
	t.Helper()
	s, operator := startServer(t)
	return s.url, operator
}

// relay is a running relay.
type relay struct {
	*server.Server
	url string
}

func startServer(t *testing.T) (*relay, ed25519.PrivateKey) {
	t.Helper()
	public, operator, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	url := "http://" + l.Addr().String()
	s, err := server.New(server.Config{
		PublicURL: url,
		TicketKey: public,
		Bus:       bus.NewLocal(),
		Logger:    slog.New(slog.DiscardHandler),
	})
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
	return &relay{s, url}, operator
}

type still struct{ *media.Broadcast }

func (still) State() media.State { return media.State{Live: true} }

// picture is a stream that shows nothing yet.
func picture() Stream { return still{media.NewBroadcast()} }

// events are what a camera tells the person beside it.
type events struct {
	codes   chan pairing.Code
	paired  chan string
	refused chan error
}

func newCamera(t *testing.T, cfg Config) (*Camera, events) {
	t.Helper()
	e := events{make(chan pairing.Code, 16), make(chan string, 16), make(chan error, 16)}
	cfg.Name, cfg.Stream, cfg.PairWindow = "front door", picture(), time.Hour
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.OnCode, cfg.OnPaired, cfg.OnRefuse = func(c pairing.Code) {
		e.codes <- c
	}, func(v identity.Fingerprint) { e.paired <- v.String() }, func(err error) { e.refused <- err }
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

// eventually waits until something is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.After(patience)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// visitor returns a client of a code's relay, which runs until the test ends.
func visitor(t *testing.T, code pairing.Code) *signaling.Client {
	t.Helper()
	client, err := signaling.NewClient(signaling.ClientConfig{URL: code.RelayURL})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client.Run)
	return client
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
	inbox := signaling.Rendezvous(toScanner.Read, toScanner.Write)
	outbox := signaling.Rendezvous(toDisplayer.Read, toDisplayer.Write)
	defer client.Receive(inbox, func(d signaling.Delivery) bool { messages <- d.Body; return false })()

	for scanner.Pair() == nil {
		reply, err := scanner.Handle(await(t, messages, "message from the camera"))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Send(ctx, outbox, reply, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
}

// If the relay refuses the welcome, the viewer is not paired, since it would be an owner that cannot watch. The camera
// goes on showing codes.
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
		before := &envelope.Pair{
			Self:          self,
			Role:          identity.Camera,
			Peer:          viewer.Bundle(),
			Secret:        envelope.Secret{1},
			MailboxSecret: envelope.Secret{2},
		}

		store := pairing.NewStore(state, self, identity.Camera)
		if earlier {
			if err := store.Put(pairing.Record{Pair: before, RelayURL: url}); err != nil {
				t.Fatal(err)
			}
		}

		// no ticket: the pair's mailboxes are refused
		c, e := newCamera(t, Config{State: state, RelayURL: url, PairMore: true})
		run(t, c.Run)
		scan(t, viewer, await(t, e.codes, "code"))
		if err := await(t, e.refused, "word to the person"); err == nil {
			t.Error("the person hears nothing")
		}

		await(t, e.codes, "next code")
		if c.Owned() != earlier {
			t.Errorf("owned %t, want %t", c.Owned(), earlier)
		}
		kept, err := store.Load()
		if err != nil || len(kept) > 1 || (len(kept) == 1) != earlier ||
			earlier && !kept[0].Pair.Secret.Equal(before.Secret) {
			t.Errorf("%d pairs on disk (%v), want the earlier one: %t", len(kept), err, earlier)
		}
	}
}

// The person beside the camera hears of a message that does not verify. The code stays valid for others.
func TestPersonHearsOfAMessageThatDoesNotVerify(t *testing.T) {
	url, operator := startRelay(t)
	ticket := signaling.Ticket{
		NotAfter:        time.Now().Add(time.Hour),
		Mailboxes:       100,
		SessionsPerHour: 100,
	}.Issue(operator)

	c, e := newCamera(t, Config{State: t.TempDir(), RelayURL: url, Ticket: ticket})
	run(t, c.Run)
	code := await(t, e.codes, "code")
	toDisplayer, _ := code.Rendezvous()
	outbox := signaling.Rendezvous(toDisplayer.Read, toDisplayer.Write)
	if err := visitor(t, code).Send(t.Context(), outbox, []byte{77}, time.Minute); err != nil {
		t.Fatal(err)
	}

	if err := await(t, e.refused, "word to the person"); !errors.Is(err, pairing.ErrInvalid) {
		t.Errorf("the person hears %v", err)
	}

	viewer, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	scan(t, viewer, code)
	await(t, e.paired, "word of the new pair")
}

// If the set-up window closes while a code is shown, nobody is paired. That is an error only for a camera without an
// owner.
func TestWindowThatClosesOverACodePairsNobody(t *testing.T) {
	url, _ := startRelay(t)
	c, e := newCamera(t, Config{State: t.TempDir(), RelayURL: url})
	run(t, func(ctx context.Context) error { c.relays.run(ctx); return nil })
	window, closeIt := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.offerCode(t.Context(), window) }()
	code := await(t, e.codes, "code")
	_, toScanner := code.Rendezvous()
	hello := make(chan signaling.Delivery, 1)
	inbox := signaling.Rendezvous(toScanner.Read, toScanner.Write)
	defer visitor(t, code).Receive(inbox, func(d signaling.Delivery) bool { hello <- d; return true })()

	await(t, hello, "word of the camera")
	closeIt(ErrWindow)
	if err := await(t, ended, "end of the code"); err != nil || c.Owned() {
		t.Errorf("owned %t, %v", c.Owned(), err)
	}
	if err := c.windowClosed(ErrWindow); !errors.Is(err, ErrWindow) {
		t.Errorf("without an owner: %v", err)
	}

	c.viewers[identity.Fingerprint{}] = nil
	if err := c.windowClosed(ErrWindow); err != nil {
		t.Errorf("with an owner: %v", err)
	}
}

func TestPairing(t *testing.T) {
	url, operator := startRelay(t)
	ticket := signaling.Ticket{
		NotAfter:        time.Now().Add(time.Hour),
		Mailboxes:       100,
		SessionsPerHour: 100,
	}.Issue(operator)

	c, e := newCamera(t, Config{State: t.TempDir(), RelayURL: url, Ticket: ticket})
	run(t, c.Run)
	viewer, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}

	scan(t, viewer, await(t, e.codes, "code"))
	if short := await(t, e.paired, "word of the new pair"); short != viewer.Bundle().Fingerprint().String() ||
		!c.Owned() {
		t.Errorf("paired %s, owned %t", short, c.Owned())
	}
}

// A damaged roster opens no set-up window: the owner may be in the damaged part.
func TestDamagedRosterHasAnOwner(t *testing.T) {
	state := t.TempDir()
	if err := os.Mkdir(filepath.Join(state, "pairs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "pairs", "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}

	c, err := New(Config{Stream: picture(), State: state, Name: "front door", RelayURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RosterError(); !errors.Is(err, pairing.ErrPairFile) {
		t.Errorf("says %v, want %v", err, pairing.ErrPairFile)
	}

	if !c.Owned() {
		t.Error("a camera with a damaged roster can be paired by anybody")
	}
}

// A removal that could not be written to disk can be repeated.
func TestFailedRemovalCanBeRepeated(t *testing.T) {
	state := t.TempDir()
	c, err := New(Config{Stream: picture(), State: state, Name: "front door", RelayURL: "http://127.0.0.1:1"})
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
	_, _, err = c.enroll(ctx, pairing.Record{Pair: pair, RelayURL: c.cfg.RelayURL})
	if err != nil {
		t.Fatal(err)
	}

	fingerprint := viewer.Bundle().Fingerprint()
	file := filepath.Join(state, "pairs", fingerprint.String()+".json")
	inTheWay := filepath.Join(file, "x")
	if err := errors.Join(os.Remove(file), os.MkdirAll(inTheWay, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(fingerprint); err == nil {
		t.Fatal("no error, although the file cannot be removed")
	}

	c.work.Wait() // the viewer is no longer served
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

// TestRemovedViewerCostsNothingMore: a removed viewer costs the camera nothing more, although it stays connected and
// has the keys. Messages that waited in its mailboxes are gone.
func TestRemovedViewerCostsNothingMore(t *testing.T) {
	r, operator := startServer(t)
	url := r.url
	ticket := signaling.Ticket{NotAfter: time.Now().Add(time.Hour), Mailboxes: 6, SessionsPerHour: 100}.Issue(operator)
	c, _ := newCamera(t, Config{State: t.TempDir(), RelayURL: url, Ticket: ticket})
	self, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}

	pair := &envelope.Pair{Self: c.self, Role: identity.Camera, Peer: self.Bundle(), MailboxSecret: envelope.Secret{2}}
	record := pairing.Record{Pair: pair, RelayURL: url}
	if err := c.store.Put(record); err != nil {
		t.Fatal(err)
	}
	fingerprint := self.Bundle().Fingerprint()
	c.viewers[fingerprint] = &viewer{camera: c, record: record}
	run(t, c.Run)

	client, err := signaling.NewClient(signaling.ClientConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client.Run)
	today := pair.Day(time.Now())
	box := func(direction envelope.Direction) signaling.Mailbox {
		m := pair.Mailbox(direction, today)
		return signaling.Mailbox{Read: m.Read, Write: m.Write}
	}
	post := func(direction envelope.Direction) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return client.Send(ctx, box(direction), []byte("for a day"), 24*time.Hour)
	}

	refused := func(err error) bool {
		var refusal *signaling.Error
		return errors.As(err, &refusal) && refusal.Code == signaling.CodeNotAdmitted
	}
	for _, direction := range []envelope.Direction{envelope.ToCamera, envelope.ToViewer} {
		defer client.Keep(box(direction))() // for as long as it is connected
		for err := post(direction); err != nil; err = post(direction) {
			if !refused(err) { // the camera has not opened the mailbox yet
				t.Fatal(err)
			}
		}
	}

	welcome := c.viewers[fingerprint].admitted(pair.Mailbox(envelope.ToViewer, today))
	relay, _ := c.relays.pairingRelay()
	if err := relay.Send(t.Context(), welcome, []byte("welcome"), 10*time.Minute); err != nil {
		t.Fatal(err)
	}

	if err := c.Remove(fingerprint); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no message waits for the removed viewer", func() bool { return r.Stats.StoredBytes.Load() == 0 })

	for _, direction := range []envelope.Direction{envelope.ToCamera, envelope.ToViewer} {
		eventually(t, "a removed viewer cannot post", func() bool { return refused(post(direction)) })
	}
}

// visit is a camera at a relay, and a viewer on its roster.
type visit struct {
	camera *Camera // does not run yet
	viewer *viewer
	cfg    session.ViewerConfig // the viewer's end
}

func newVisit(t *testing.T) *visit {
	t.Helper()
	url, operator := startRelay(t)
	c, _ := newCamera(t, Config{
		State:    t.TempDir(),
		RelayURL: url,
		Ticket: signaling.Ticket{
			NotAfter:        time.Now().Add(time.Hour),
			Mailboxes:       100,
			SessionsPerHour: 100,
		}.Issue(operator),
	})

	self, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	ours := &envelope.Pair{
		Self:          c.self,
		Role:          identity.Camera,
		Peer:          self.Bundle(),
		Secret:        envelope.Secret{1},
		MailboxSecret: envelope.Secret{2},
	}
	theirs := &envelope.Pair{
		Self:          self,
		Role:          identity.Viewer,
		Peer:          c.self.Bundle(),
		Secret:        ours.Secret,
		MailboxSecret: ours.MailboxSecret,
	}

	record := pairing.Record{Pair: ours, RelayURL: url}
	if err := c.store.Put(record); err != nil {
		t.Fatal(err)
	}
	v := &viewer{camera: c, record: record}
	c.viewers[self.Bundle().Fingerprint()] = v
	client, err := signaling.NewClient(signaling.ClientConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}

	run(t, client.Run)
	box := theirs.Mailbox(envelope.ToCamera, theirs.Day(time.Now()))
	return &visit{c, v, session.ViewerConfig{
		Pair:     theirs,
		Signal:   client,
		Inbox:    signaling.Mailbox{Read: box.Read, Write: box.Write},
		Box:      box,
		Carriers: []media.Carrier{media.H264Carrier},
		Logger:   slog.New(slog.DiscardHandler),
		OnFrame:  func(session.Frame) {},
	}}
}

// watch runs the viewer's end of one session.
func (v *visit) watch(ctx context.Context) error {
	for {
		s, err := session.NewViewer(v.cfg)
		if err != nil {
			return err
		}
		err = s.Run(ctx)
		refusal := new(*signaling.Error)
		if !errors.As(err, refusal) || (*refusal).Code != signaling.CodeNotAdmitted {
			return err
		} // the camera has not opened its mailbox yet
	}
}

// TestCameraSaysBye: a camera that is switched off says bye through signaling, too, so that a viewer that has found no
// path to it stops waiting.
func TestCameraSaysBye(t *testing.T) {
	v := newVisit(t)
	serving, off := context.WithCancel(t.Context())
	defer off()
	done := make(chan error, 1)
	go func() { done <- v.camera.Run(serving) }()

	v.cfg.RelayOnly = true // there is no relay: no path will be found
	v.cfg.OnPhase = func(phase string) {
		if phase == "answered" {
			off()
		}
	}
	if err := v.watch(t.Context()); !errors.Is(err, session.ErrEnded) {
		t.Errorf("the viewer's end: %v", err)
	}
	if err := await(t, done, "end of the camera"); !errors.Is(err, context.Canceled) {
		t.Errorf("the camera's end: %v", err)
	}
}

// TestCameraYieldsWhileItIsWatched: what viewers fetch makes room for the picture for as long as anybody watches.
func TestCameraYieldsWhileItIsWatched(t *testing.T) {
	v := newVisit(t)
	run(t, v.camera.Run)
	busy := v.viewer.sessionConfig(envelope.Opened{}, nil, nil).Busy
	if busy() {
		t.Error("busy before anybody watches")
	}
	watching, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	v.cfg.Loopback = true
	go func() { ended <- v.watch(watching) }()
	eventually(t, "the camera yields", busy)
	leave()
	eventually(t, "the camera yields no longer", func() bool { return !busy() })
	if err := await(t, ended, "end of the session"); err != nil {
		t.Errorf("the viewer's end: %v", err)
	}
}
