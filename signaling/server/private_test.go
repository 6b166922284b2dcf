package server

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/test/bubble"
)

// house is a private server with its camera's own client, in the bubble of a test.
type house struct {
	*Server
	t        *testing.T
	camera   *signaling.Client
	leave    func() // stops the camera's client
	arrivals chan net.Conn
	proofs   atomic.Int32 // the connections whose listener was told that they have proven themselves
	done     chan struct{}
}

func (h *house) Accept() (net.Conn, error) {
	select {
	case c := <-h.arrivals:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *house) Close() error   { return nil }
func (h *house) Addr() net.Addr { return named("home") }

type named string

func (n named) Network() string { return "test" }
func (n named) String() string  { return string(n) }

// visitor is the server's end of a connection from outside.
type visitor struct {
	net.Conn
	from   string
	origin string
	proofs *atomic.Int32
}

func (v visitor) RemoteAddr() net.Addr { return named(v.from) }
func (v visitor) Origin() string       { return v.origin }
func (v visitor) Proven()              { v.proofs.Add(1) }

const visitorOrigin = "p2p:camera/viewer"

// inHome runs a test of a private server in a bubble.
func inHome(t *testing.T, test func(*testing.T, *house)) {
	bubble.Test(t, func(t *testing.T) {
		s, err := New(Config{Private: true, Bus: bus.NewLocal(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		h := &house{Server: s, t: t, arrivals: make(chan net.Conn), done: make(chan struct{})}
		h.camera, err = signaling.NewClient(signaling.ClientConfig{Dial: s.Dial, InProcess: true})
		if err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		running.Go(func() { _ = s.Serve(h) })
		h.leave = runClient(t, h.camera)
		t.Cleanup(func() {
			h.leave()
			cancel()
			close(h.done)
			running.Wait()
		})

		if err := h.camera.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(t, h)
	})
}

// admitted returns a mailbox that the camera has admitted and reads.
func (h *house) admitted() (mb signaling.Mailbox, got chan string, stop func()) {
	mb = newMailbox()
	owned := mb
	owned.Ticket = h.Ticket()
	got, stop = receive(h.camera, owned, nil)
	synctest.Wait()
	return mb, got, stop
}

// arrive connects from an address.
func (h *house) arrive(from string) net.Conn {
	ours, theirs := net.Pipe()
	h.arrivals <- visitor{theirs, from, visitorOrigin, &h.proofs}
	h.t.Cleanup(func() { ours.Close() })
	return ours
}

// wire makes a WebSocket connection from an address.
func (h *house) wire(from string) *wire {
	h.t.Helper()
	conn := h.arrive(from)
	dial := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{DialContext: dial}
	h.t.Cleanup(transport.CloseIdleConnections)
	ws, _, err := websocket.Dial(h.t.Context(), "ws://home"+signaling.Path, &websocket.DialOptions{
		Subprotocols: []string{signaling.Subprotocol},
		HTTPClient:   &http.Client{Transport: transport},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { ws.CloseNow() })

	w := &wire{t: h.t, ws: ws, url: visitorOrigin}
	challenge, ok := w.read().(signaling.Challenge)
	if !ok || challenge.Time != 0 {
		h.t.Fatalf("the first frame is %#v", challenge)
	}
	w.nonce = challenge.Nonce
	return w
}

// client returns a viewer's client from an address.
func (h *house) client(from string) *signaling.Client {
	h.t.Helper()
	c, err := signaling.NewClient(signaling.ClientConfig{Dial: func(context.Context) (net.Conn, string, error) {
		return h.arrive(from), visitorOrigin, nil
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	runClient(h.t, c)
	return c
}

const nothing = "there is no such mailbox here"

// wantNothing checks that a frame is refused as everything is that a stranger sends.
func (w *wire) wantNothing(what string, f signaling.Frame) {
	w.t.Helper()
	w.send(f)
	refused, ok := w.read().(signaling.Refused)
	if !ok || refused.Code != 404 || refused.Text != nothing {
		w.t.Errorf("%s: %#v", what, refused)
	}
}

// signed returns an Open of a connection.
func (w *wire) signed(mb signaling.Mailbox, a signaling.Access) signaling.Open {
	f := signaling.SignOpen(w.url, w.nonce, mb, a)
	f.ID = 1
	return f
}

// Whatever a stranger sends, it gets the same refusal, and is gone after three of them.
func TestStrangerLearnsNothingInThreeTries(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		ours, _, _ := h.admitted()
		theirs := newMailbox()
		before := h.Stats.Mailboxes.Load()

		grant := signaling.GrantRequest{ID: 1, Name: ours.Name()}
		post := signaling.Post{ID: 1, Name: ours.Name(), Body: []byte{1}}
		foreign := withTicket(theirs, "x")
		for what, frame := range map[string]func(w *wire) signaling.Frame{
			"its own mailbox":  func(w *wire) signaling.Frame { return w.signed(theirs, signaling.Write) },
			"its own, to read": func(w *wire) signaling.Frame { return w.signed(theirs, signaling.Read) },
			"ours, to read":    func(w *wire) signaling.Frame { return w.signed(ours, signaling.Read) },
			"a rendezvous": func(w *wire) signaling.Frame {
				return w.signed(rendezvousOf(theirs), signaling.Write)
			},
			"ours as one":       func(w *wire) signaling.Frame { return w.signed(rendezvousOf(ours), signaling.Write) },
			"a post":            func(w *wire) signaling.Frame { return post },
			"a grant":           func(w *wire) signaling.Frame { return grant },
			"a revocation":      func(w *wire) signaling.Frame { return signaling.Revoke{ID: 1, Name: ours.Name()} },
			"an ack":            func(w *wire) signaling.Frame { return signaling.Ack{Name: ours.Name()} },
			"a server's frame":  func(w *wire) signaling.Frame { return signaling.OK{ID: 1} },
			"another's ticket":  func(w *wire) signaling.Frame { return w.signed(foreign, signaling.Write) },
			"another signature": func(w *wire) signaling.Frame { return forgedOpen(w, ours) },
			"another's origin": func(w *wire) signaling.Frame {
				return (&wire{url: "p2p:camera/thief", nonce: w.nonce}).signed(ours, signaling.Write)
			},
			"another's nonce": func(w *wire) signaling.Frame {
				return (&wire{url: visitorOrigin, nonce: [32]byte{1}}).signed(ours, signaling.Write)
			},
		} {
			w := h.wire("192.0.2.1:1")
			begin := time.Now()
			for range 3 {
				w.wantNothing(what, frame(w))
			}
			if !w.ended() || time.Since(begin) >= time.Second { // without a proof, it would be gone after five
				t.Errorf("%s: the stranger may go on for %v", what, time.Since(begin))
			}
		}

		if n := h.Stats.Mailboxes.Load() - before; n != 0 || h.Stats.StoredBytes.Load() != 0 {
			t.Errorf("strangers have left %d mailboxes behind", n)
		}
	})
}

func rendezvousOf(mb signaling.Mailbox) signaling.Mailbox {
	return signaling.Rendezvous(mb.Read, mb.Write)
}

func withTicket(mb signaling.Mailbox, ticket string) signaling.Mailbox {
	mb.Ticket = []byte(ticket)
	return mb
}

// forgedOpen returns an Open of a mailbox without its key.
func forgedOpen(w *wire, mb signaling.Mailbox) signaling.Open {
	f := w.signed(mb, signaling.Write)
	rand.Read(f.Signature)
	return f
}

// What is no frame at all, or longer than a stranger's may be, ends the connection at once.
func TestStrangersBytesEndTheConnection(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		for what, b := range map[string][]byte{
			"empty":     {},
			"malformed": {0x10, 1, 2, 3},
			"long":      make([]byte, proofFrame+1),
		} {
			w := h.wire("192.0.2.1:1")
			if err := w.ws.Write(t.Context(), websocket.MessageBinary, b); err == nil && !w.ended() {
				t.Errorf("%s: the stranger may go on", what)
			}
		}
	})
}

// Whoever asks for a page keeps the camera busy with one request, and not with as many as fit into five seconds.
func TestStrangerAsksForOnePage(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		conn := h.arrive("192.0.2.1:1")
		go io.WriteString(conn, strings.Repeat("GET / HTTP/1.1\r\nHost: home\r\n\r\n", 3))
		begin := time.Now()
		answers, _ := io.ReadAll(conn)
		if strings.Count(string(answers), "HTTP/1.1 404") != 1 || time.Since(begin) > time.Second {
			t.Errorf("after %v: %q, want one answer", time.Since(begin), answers)
		}
	})
}

// The ticket is of no use to anybody but the camera itself.
func TestTicketFromOutsideIsRefused(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		w, mb := h.wire("192.0.2.1:1"), newMailbox()
		mb.Ticket = h.Ticket()
		w.wantNothing("the camera's ticket", w.signed(mb, signaling.Write)) // also because it is too long
	})
}

// A stranger that proves nothing is gone after five seconds, whether it is silent or drips.
func TestStrangerIsGoneAfterFiveSeconds(t *testing.T) {
	drip := func(conn net.Conn) {
		for {
			if _, err := io.WriteString(conn, "GET "); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	for what, do := range map[string]func(*house){
		"silent":   func(h *house) { _, _ = io.Copy(io.Discard, h.arrive("192.0.2.1:1")) },
		"drips":    func(h *house) { drip(h.arrive("192.0.2.1:1")) },
		"connects": func(h *house) { h.wire("192.0.2.1:1").ended() },
		"pings": func(h *house) {
			w := h.wire("192.0.2.1:1")
			reading := w.ws.CloseRead(context.Background())
			for w.ws.Ping(reading) == nil {
				time.Sleep(100 * time.Millisecond)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			inHome(t, func(t *testing.T, h *house) {
				begin := time.Now()
				do(h)
				if d := time.Since(begin); d < 4*time.Second || d > 6*time.Second {
					t.Errorf("gone after %v, want 5 s", d)
				}
				synctest.Wait()
				if !h.places.empty() {
					t.Error("its place is still taken")
				}
			})
		})
	}
}

// A stranger holds four connections at a time, and others are not kept out, however many come.
func TestStrangersHoldOnlyTheirShare(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		mb, _, _ := h.admitted()
		held := func() (n int) {
			h.places.mu.Lock()
			defer h.places.mu.Unlock()
			return len(h.places.unproven)
		}

		for range 50 {
			h.arrive("192.0.2.1:1")
		}
		synctest.Wait()
		if n := held(); n != maxUnprovenThere {
			t.Errorf("one address holds %d connections", n)
		}
		for i := range 200 {
			h.arrive(fmt.Sprintf("[2001:db8:0:%x::1]:1", i))
		}
		synctest.Wait()
		if n := held(); n != maxUnproven {
			t.Errorf("strangers hold %d connections", n)
		}

		viewer := h.wire("198.51.100.1:1")
		want(t, "a viewer among strangers", viewer.open(mb, signaling.Write), 0)
		for range 200 {
			h.arrive("203.0.113.1:1")
		}
		want(t, "the viewer, later", viewer.post(mb, 1, 0), 0)
	})
}

// Even with every place taken by viewers, there are never more than 32 connections, and none is ended for a stranger.
func TestPlacesAreBounded(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		var viewers []*wire
		var boxes []signaling.Mailbox
		for i := range maxOutside {
			mb, _, _ := h.admitted()
			w := h.wire(fmt.Sprintf("192.0.2.%d:1", i))
			want(t, "a viewer", w.open(mb, signaling.Write), 0)
			viewers, boxes = append(viewers, w), append(boxes, mb)
		}

		conn := h.arrive("198.51.100.1:1")
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("one connection too many")
		}
		for i, w := range viewers {
			want(t, "a viewer, later", w.post(boxes[i], 1, 0), 0)
		}
	})
}

// A listener drops connections that have proven nothing. It learns when one has, and of no stranger.
func TestListenerLearnsWhoHasProvenItself(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		mb, _, _ := h.admitted()
		stranger, viewer := h.wire("192.0.2.1:1"), h.wire("192.0.2.2:1")
		stranger.wantNothing("a stranger's mailbox", stranger.signed(newMailbox(), signaling.Write))
		if n := h.proofs.Load(); n != 0 {
			t.Errorf("%d proofs by a stranger", n)
		}

		want(t, "a viewer", viewer.open(mb, signaling.Write), 0)
		want(t, "a viewer, again", viewer.open(mb, signaling.Write), 0)
		if n := h.proofs.Load(); n != 1 {
			t.Errorf("the listener heard of %d proofs, want 1", n)
		}
	})
}

// A viewer gets on with its camera as at a relay, also in a mailbox that the camera admits only later.
func TestViewerIsServedByItsCamera(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		inbox, offers, _ := h.admitted()
		reply := newMailbox()
		viewer := h.client("192.0.2.1:1")
		defer viewer.Keep(inbox)()
		answers, _ := receive(viewer, reply, nil)
		mustSend(t, viewer, inbox, "offer")
		if s := next(t, offers); s != "offer" {
			t.Fatalf("the camera got %q", s)
		}

		owned := reply
		owned.Ticket = h.Ticket()
		mustSend(t, h.camera, owned, "answer")
		if s := next(t, answers); s != "answer" {
			t.Errorf("the viewer got %q", s)
		}
	})
}

// Nobody posts to a mailbox that the camera has not admitted, not even a viewer.
func TestViewerPostsOnlyToAdmittedMailboxes(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		mb, _, _ := h.admitted()
		w, other := h.wire("192.0.2.1:1"), newMailbox()
		want(t, "the proof", w.open(mb, signaling.Write), 0)
		want(t, "another mailbox", w.open(other, signaling.Write), 0)
		w.wantNothing("a post to it", signaling.Post{ID: 2, Name: other.Name(), TTL: 60, Body: []byte{1}})
		w.wantNothing("a post to one not opened", signaling.Post{ID: 2, Name: newMailbox().Name(), Body: []byte{1}})
		w.wantNothing("a rendezvous", w.signed(rendezvousOf(newMailbox()), signaling.Write))
		w.wantNothing("a grant", signaling.GrantRequest{ID: 2, Name: mb.Name()})
		w.wantNothing("a revocation", signaling.Revoke{ID: 2, Name: mb.Name()})
		want(t, "a post to the first", w.post(mb, signaling.MaxBody, 60), 0)
	})
}

func TestViewerOpens64Mailboxes(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		mb, _, _ := h.admitted()
		w := h.wire("192.0.2.1:1")
		want(t, "the proof", w.open(mb, signaling.Write), 0)
		for range 63 {
			want(t, "another mailbox", w.open(newMailbox(), signaling.Read), 0)
		}
		want(t, "the 65th", w.open(newMailbox(), signaling.Read), signaling.CodeQuota)
	})
}

// A removed viewer is gone at once, whether the camera gives its mailboxes up or revokes them, and cannot come back.
func TestRemovedViewerIsGoneAtOnce(t *testing.T) {
	for what, end := range map[string]func(*house, signaling.Mailbox, func()) error{
		"closed": func(_ *house, _ signaling.Mailbox, stop func()) error { stop(); return nil },
		"revoked": func(h *house, mb signaling.Mailbox, _ func()) error {
			return h.camera.Revoke(h.t.Context(), withTicket(mb, string(h.Ticket())))
		},
	} {
		t.Run(what, func(t *testing.T) {
			inHome(t, func(t *testing.T, h *house) {
				first, _, stopFirst := h.admitted()
				second, _, stopSecond := h.admitted()
				other, _, _ := h.admitted()
				removed, stays := h.wire("192.0.2.1:1"), h.wire("192.0.2.1:2")
				for _, mb := range []signaling.Mailbox{first, second, newMailbox()} {
					want(t, "a mailbox", removed.open(mb, signaling.Write), 0)
				}
				want(t, "another viewer's", stays.open(other, signaling.Write), 0)

				begin := time.Now()
				if err := end(h, first, stopFirst); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				want(t, "with one mailbox left", removed.post(second, 1, 0), 0)
				if err := end(h, second, stopSecond); err != nil {
					t.Fatal(err)
				}
				if !removed.ended() || time.Since(begin) > 0 {
					t.Errorf("the removed viewer is there after %v", time.Since(begin))
				}

				again := h.wire("192.0.2.1:1")
				for _, mb := range []signaling.Mailbox{first, second} {
					again.wantNothing("the removed viewer again", again.signed(mb, signaling.Write))
				}
				want(t, "the other viewer", stays.post(other, 1, 0), 0)
			})
		})
	}
}

// A removed viewer that is still there comes back ever more seldom.
func TestRemovedViewerAsksSeldom(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		var dials atomic.Int32
		c, err := signaling.NewClient(signaling.ClientConfig{Dial: func(context.Context) (net.Conn, string, error) {
			dials.Add(1)
			return h.arrive("192.0.2.1:1"), visitorOrigin, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		runClient(t, c)
		defer c.Keep(newMailbox())()
		time.Sleep(time.Hour) // of the bubble
		if n := dials.Load(); n < 60 || n > 360 {
			t.Errorf("%d connections in an hour", n)
		}
	})
}

// A camera whose own client is gone serves nobody, although its server may still run.
func TestViewersAreGoneWithTheirCamera(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		mb, _, _ := h.admitted()
		w := h.wire("192.0.2.1:1")
		want(t, "a viewer", w.open(mb, signaling.Write), 0)
		w.ws.CloseRead(context.Background()) // it answers pings
		h.leave()
		time.Sleep(2 * time.Minute)
		if !h.places.empty() {
			t.Error("the viewer is still there")
		}
	})
}

// One more connection than a viewer may have replaces its oldest.
func TestViewersOldestConnectionIsReplaced(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		mb, _, _ := h.admitted()
		var wires []*wire
		for range connsPerMailbox + 1 {
			w := h.wire("192.0.2.1:1")
			want(t, "a connection", w.open(mb, signaling.Write), 0)
			wires = append(wires, w)
		}
		if !wires[0].ended() {
			t.Error("the oldest is still there")
		}
		for _, w := range wires[1:] {
			want(t, "a newer one", w.post(mb, 1, 0), 0)
		}
	})
}

// A signature that does not verify costs the camera the verification and nothing else: the store is not even asked.
func TestSignatureIsCheckedFirst(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		mb, _, _ := h.admitted()
		w := h.wire("192.0.2.1:1")
		for i := range h.store.shard {
			h.store.shard[i].mu.Lock()
			defer h.store.shard[i].mu.Unlock()
		}
		w.wantNothing("a forged signature, with the store locked", forgedOpen(w, mb))
	})
}

// The clock of a camera is off by an amount of its own. No stranger sees it.
func TestPrivateServerTellsNoTime(t *testing.T) {
	for what, request := range map[string]string{
		"a WebSocket": "GET " + signaling.Path + " HTTP/1.1\r\nHost: camera\r\nUpgrade: websocket\r\n" +
			"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
			"Sec-WebSocket-Protocol: " + signaling.Subprotocol + "\r\n\r\n",
		"no WebSocket": "GET " + signaling.Path + " HTTP/1.1\r\nHost: camera\r\n\r\n",
		"a page":       "GET / HTTP/1.1\r\nHost: camera\r\n\r\n",
		"no HTTP":      "\x00\x00\r\n\r\n",
	} {
		t.Run(what, func(t *testing.T) {
			inHome(t, func(t *testing.T, h *house) {
				conn := h.arrive("192.0.2.1:1")
				go func() { _, _ = io.WriteString(conn, request) }()
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				for name, values := range response.Header {
					if name == "Date" || strings.Contains(fmt.Sprint(values), fmt.Sprint(time.Now().Year())) {
						t.Errorf("%s: %v", name, values)
					}
				}
			})
		})
	}
}

// A connection without a name of both its ends is closed: its signatures could be used by anybody.
func TestConnectionWithoutOriginIsClosed(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		for what, wrap := range map[string]func(net.Conn) net.Conn{
			"no origin":    func(conn net.Conn) net.Conn { return conn },
			"empty origin": func(conn net.Conn) net.Conn { return visitor{Conn: conn, from: "192.0.2.1:1"} },
		} {
			ours, theirs := net.Pipe()
			h.arrivals <- wrap(theirs)
			if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// A private server serves nobody whose connection it has not accepted itself.
func TestPrivateServerIsNoHandlerForOthers(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		client, stop := net.Pipe()
		defer client.Close()
		defer stop.Close()
		l := &one{make(chan net.Conn, 1), make(chan struct{})}
		l.conn <- remote{stop}
		hs := &http.Server{Handler: h.Server}
		served := make(chan error, 1)
		go func() { served <- hs.Serve(l) }()

		go func() { _, _ = io.WriteString(client, "GET "+signaling.Path+" HTTP/1.1\r\nHost: camera\r\n\r\n") }()
		response, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil || response.StatusCode != http.StatusForbidden {
			t.Errorf("%v, %v", response, err)
		}
		client.Close()
		_ = hs.Close()
		<-served
	})
}

// What strangers connect with leaves the camera's own way in free.
func TestCameraReconnectsAmongStrangers(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		unknown := h.accountOf(netip.Addr{})
		for unknown.class.work.Charge(unknown.payer, 1000, time.Now()) == nil {
		}
		h.camera.Redial()
		synctest.Wait()
		if err := h.camera.Connect(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Nothing is written while nothing happens, and what expires is removed although the server sleeps in between.
func TestIdlePrivateServerSleeps(t *testing.T) {
	inHome(t, func(t *testing.T, h *house) {
		mb, _, _ := h.admitted()
		time.Sleep(time.Hour) // of the bubble
		if n := h.Stats.Connections.Load(); n != 1 {
			t.Fatalf("%d connections after an idle hour, want the camera's", n)
		}

		toViewer := withTicket(newMailbox(), string(h.Ticket()))
		mustSend(t, h.camera, toViewer, "nobody fetches this")
		if h.Stats.StoredBytes.Load() == 0 {
			t.Fatal("nothing is stored")
		}
		time.Sleep(2 * time.Minute)
		if n := h.Stats.StoredBytes.Load(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}

		viewer := h.wire("192.0.2.1:1")
		want(t, "after the sleep", viewer.open(mb, signaling.Write), 0)
	})
}

func TestPrivateServerTakesNoPublicConfiguration(t *testing.T) {
	for what, cfg := range map[string]Config{
		"URL":    {PublicURL: "https://relay.example"},
		"ticket": {TicketKey: make([]byte, 32)},
	} {
		cfg.Private, cfg.Bus, cfg.Logger = true, bus.NewLocal(), slog.New(slog.DiscardHandler)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
