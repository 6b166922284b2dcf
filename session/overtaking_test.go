package session

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// twoWays carries everything by two relays at once. They know nothing of each other, so copies come at any time, and
// messages overtake each other.
type twoWays struct{ one, other *post }

func (w twoWays) Receive(mb signaling.Mailbox, handle func(signaling.Delivery) bool) (stop func()) {
	stopOne, stopOther := w.one.Receive(mb, handle), w.other.Receive(mb, handle)
	return func() { stopOne(); stopOther() }
}

func (w twoWays) Send(ctx context.Context, mb signaling.Mailbox, body []byte, ttl time.Duration) error {
	return errors.Join(w.one.Send(ctx, mb, body, ttl), w.other.Send(ctx, mb, body, ttl))
}

func (w twoWays) SendAll(ctx context.Context, mb signaling.Mailbox, queue <-chan signaling.Outgoing, ttl time.Duration,
	refused func(error)) error {
	return sendEach(ctx, queue, func(body []byte) error { return w.Send(ctx, mb, body, ttl) }, refused)
}

// A session whose messages come by two ways starts once, at both ends, and nobody is alarmed. The second way brings
// each message behind the one that was sent after it, and then again.
func TestSessionByTwoWaysStartsOnce(t *testing.T) {
	var camera CameraConfig
	h := newHouse(t, &camera, quiet())
	second := newPost(t)
	h.ways = twoWays{h.post, second}
	h.viewer.Signal = h.ways
	var mu sync.Mutex
	held := make(map[signaling.Name][]byte)
	second.twist = func(mb signaling.Mailbox, body []byte) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		before := held[mb.Name()]
		held[mb.Name()] = body
		if before == nil {
			return nil
		}
		return [][]byte{body, before, body}
	}

	alarm := func(r Rejection) { t.Errorf("rejected %s: %v", r.What, r.Err) }
	h.viewer.OnReject, h.onReject = alarm, alarm
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	frames, names := 0, 0
	phases := make(map[string]int)
	h.viewer.OnName = func(string) { names++ }
	h.viewer.OnPhase = func(phase string) { phases[phase]++ }
	h.viewer.OnFrame = func(handshake.Frame) {
		if frames++; frames == 10 {
			cancel()
		}
	}

	v, err := NewViewer(h.viewer)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Run(ctx); err != nil || frames < 10 {
		t.Errorf("%d frames, %v", frames, err)
	}
	if err := <-h.camera; err != nil {
		t.Errorf("camera's end: %v", err)
	}

	if names != 1 || phases["answered"] != 1 || phases["connected"] != 1 {
		t.Errorf("the camera's name came %d times; phases: %v", names, phases)
	}
	if n := h.post.rejected.Load() + second.rejected.Load(); n != 0 {
		t.Errorf("%d rejections were reported to the relays", n)
	}
}

// Records are obeyed in any order, each once. A copy and a late one do nothing and alarm nobody, but what does not open
// alarms, whatever its counter. A bye shows which ones are obeyed: it ends the session.
func TestOvertakenRecordsAreObeyedOnce(t *testing.T) {
	const last = 130
	byes := map[int]bool{1: true, last - 64: true, last - 63: true}
	for _, tt := range []struct {
		name     string
		arrive   []int // in the order in which they were sealed
		tampered bool  // the last one to arrive is
		ends     bool
		alarms   int
	}{
		{"a bye ahead of what was sealed before it", []int{1, 0}, false, true, 0},
		{"a bye overtaken by 63", []int{last, last - 63}, false, true, 0},
		{"a bye overtaken by 64", []int{last, last - 64}, false, false, 0},
		{"candidates backwards, and copies", []int{4, 3, 2, 2, 4, 3}, false, false, 0},
		{"late copies", []int{2, 3, last, 2, 3}, false, false, 0},
		{"tampered", []int{last, last - 1}, true, false, 1},
		{"a tampered copy", []int{last, last}, true, false, 1},
		{"tampered and late", []int{last, 2}, true, false, 1},
	} {
		camera, viewer := agreedKeys(t)
		for role, sender := range map[string]handshake.RecordChannel{
			"camera": viewer.Signaling,
			"viewer": camera.Signaling,
		} {
			wires := sealedRecords(t, sender, last+1, byes)
			e := &ear{}
			deliver := cameraHearing(e, camera)
			if role == "viewer" {
				deliver = viewerHearing(t, e, viewer)
			}

			var err error
			for i := 0; i < len(tt.arrive) && err == nil; i++ { // what arrives after the bye finds no session
				body := bytes.Clone(wires[tt.arrive[i]])
				if tt.tampered && i == len(tt.arrive)-1 {
					body[len(body)-1] ^= 1
				}
				err = deliver(e.delivery(body))
			}

			if ended := errors.Is(err, errLeft) || errors.Is(err, ErrEnded); ended != tt.ends ||
				len(e.person) != tt.alarms || len(e.relay) != tt.alarms {
				t.Errorf("%s, at the %s: %v, alarms %v and %v; want an end: %t, alarms: %d", tt.name, role, err,
					e.person, e.relay, tt.ends, tt.alarms)
			}
		}
	}
}

// sealedRecords returns n records of c, of which some say bye.
func sealedRecords(t *testing.T, c handshake.RecordChannel, n int, byes map[int]bool) (wires [][]byte) {
	t.Helper()
	for i := range n {
		m := handshake.Message{Type: "candidate", Candidate: "none"}
		if byes[i] {
			m = handshake.Message{Type: "bye"}
		}
		wires = append(wires, sealedRecord(t, c, m))
	}

	return wires
}

// cameraHearing returns what delivers to a camera's end that has its keys.
func cameraHearing(e *ear, keys *handshake.RecordKeys) func(signaling.Delivery) error {
	c := &Camera{
		cfg:       CameraConfig{OnReject: e.reject, Logger: quiet()},
		records:   keys,
		peer:      new(peer),
		explainer: new(path.Explainer),
	}
	return c.deliver
}

// viewerHearing returns what delivers to a viewer's end that has its keys.
func viewerHearing(t *testing.T, e *ear, keys *handshake.RecordKeys) func(signaling.Delivery) error {
	t.Helper()
	_, theirs := sessiontest.Pair(t)
	h, err := handshake.NewOfferer(theirs, nil)
	if err != nil {
		t.Fatal(err)
	}

	v := &Viewer{
		cfg:       ViewerConfig{Pair: theirs, OnReject: e.reject, Logger: quiet()},
		offerer:   h,
		inbox:     handshake.NewInbox(nil),
		records:   keys,
		peer:      new(peer),
		explainer: new(path.Explainer),
	}
	return func(d signaling.Delivery) error { return v.deliver(t.Context(), d) }
}

// A camera that restarts answers again, and each of several carriers brings that answer. However often it comes, it
// costs one try to open it, and nobody is alarmed.
func TestCopiesOfASecondAnswerAreIgnored(t *testing.T) {
	ours, theirs := sessiontest.Pair(t)
	h, received := offered(t, ours, theirs, handshake.Offer{Still: true})
	o, err := handshake.ParseOffer(received.Opened.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer, _, err := received.Answer(o, handshake.Answer{})
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := received.Answer(o, handshake.Answer{})
	if err != nil {
		t.Fatal(err)
	}
	refusal, err := received.Refuse(handshake.Refusal{Code: "busy"})
	if err != nil {
		t.Fatal(err)
	}

	e, names := &ear{}, 0
	s := &still{
		cfg:     StillConfig{Pair: theirs, OnReject: e.reject, OnName: func(string) { names++ }},
		offerer: h,
		fresh:   handshake.NewFreshness(nil),
		inbox:   handshake.NewStillInbox(nil),
	}
	for range 100 {
		for _, body := range [][]byte{answer, second, refusal} {
			if frame, err := s.deliver(e.delivery(bytes.Clone(body))); frame != nil || err != nil {
				t.Fatalf("%v, %v", frame, err)
			}
		}
	}

	if names != 1 || len(e.person) != 0 || len(e.relay) != 0 {
		t.Errorf("the camera's name came %d times; alarms %v and %v", names, e.person, e.relay)
	}
}

// atOnce delivers every message four times before Send returns.
type atOnce struct {
	*post
}

func (a atOnce) Receive(mb signaling.Mailbox, handle func(signaling.Delivery) bool) (stop func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handlers[mb.Name()] = handle
	return func() {}
}

func (a atOnce) Send(_ context.Context, mb signaling.Mailbox, body []byte, _ time.Duration) error {
	a.mu.Lock()
	handle := a.handlers[mb.Name()]
	copies := 4
	if len(a.sent) == 0 {
		copies = 1 // the offer, to the camera, which has tests of its own
	}
	a.sent = append(a.sent, body)
	a.mu.Unlock()

	for range copies {
		handle(signaling.NewDelivery(body, func() { a.rejected.Add(1) }))
	}
	return nil
}

func (a atOnce) SendAll(ctx context.Context, mb signaling.Mailbox, queue <-chan signaling.Outgoing, ttl time.Duration,
	refused func(error)) error {
	return sendEach(ctx, queue, func(body []byte) error { return a.Send(ctx, mb, body, ttl) }, refused)
}

// The largest still arrives whole although four carriers bring all of it before the offer counts as posted.
func TestLargestStillArrivesByFourCarriers(t *testing.T) {
	relay := atOnce{newPost(t)}
	picture := sessiontest.Random(handshake.MaxStill)
	cfg := gallery(t, relay, showing(picture, clock.Now()))
	cfg.OnReject = func(r Rejection) { t.Errorf("rejected %s: %v", r.What, r.Err) }

	f, err := Still(t.Context(), cfg)
	if err != nil || !bytes.Equal(f.AccessUnit, picture) || relay.rejected.Load() != 0 {
		t.Errorf("%d bytes, %v, %d rejections reported to the relay", len(f.AccessUnit), err, relay.rejected.Load())
	}
}
