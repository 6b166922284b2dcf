package server

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/reserve"
)

// receive passes the bodies that arrive in a mailbox to a channel. keep reports whether the relay must keep a message.
func receive(c *signaling.Client, mb signaling.Mailbox, keep func(body string) bool) (got chan string, stop func()) {
	got = make(chan string, 1000)
	return got, c.Receive(mb, func(d signaling.Delivery) bool {
		got <- string(d.Body)
		return keep == nil || !keep(string(d.Body))
	})
}

func next(t *testing.T, got <-chan string) string {
	t.Helper()
	select {
	case s := <-got:
		return s
	case <-time.After(patience):
		t.Fatal("nothing arrived")
		return ""
	}
}

func mustSend(t *testing.T, c *signaling.Client, mb signaling.Mailbox, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Send(ctx, mb, []byte(body), time.Minute); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition that must become true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatal("did not happen: ", what)
		}
		time.Sleep(time.Millisecond) // between two checks
	}
}

func TestClientsExchangeMessages(t *testing.T) {
	e := start(t, Config{})
	camera, viewer, mb := e.client(t), e.client(t), newMailbox()
	mustSend(t, viewer, mb, "before") // the viewer's address admits the mailbox, and keeps it for a while
	got, stop := receive(camera, mb, nil)
	mustSend(t, viewer, mb, "after")
	for _, want := range []string{"before", "after"} {
		if s := next(t, got); s != want {
			t.Errorf("got %q, want %q", s, want)
		}
	}

	until(t, "both are deleted", func() bool { return e.Stats.Acked.Load() == 2 })
	stop()
	mustSend(t, viewer, mb, "later")
	again, _ := receive(camera, mb, nil)
	if s := next(t, again); s != "later" {
		t.Errorf("after opening again: %q", s)
	}

	if clock, ok := camera.ServerTime(); !ok || time.Since(clock).Abs() > time.Minute {
		t.Errorf("server time %v, %v", clock, ok)
	}
}

func TestUnackedMessageComesAgain(t *testing.T) {
	e := start(t, Config{})
	first, mb := e.client(t), newMailbox()
	got, stop := receive(first, mb, func(s string) bool { return s == "kept" })
	for _, s := range []string{"kept", "done"} {
		mustSend(t, first, mb, s)
		if g := next(t, got); g != s {
			t.Fatalf("got %q, want %q", g, s)
		}
	}

	until(t, "one is deleted", func() bool { return e.Stats.Acked.Load() == 1 })
	stop()
	again, _ := receive(e.client(t), mb, nil)
	if s := next(t, again); s != "kept" {
		t.Errorf("got %q again", s)
	}
}

// A client that stopped reading a mailbox but still writes to it gets what arrived meanwhile when it reads again.
func TestReadingAgainDeliversWhatCameMeanwhile(t *testing.T) {
	e := start(t, Config{})
	c, mb := e.client(t), newMailbox()
	defer c.Keep(mb)()
	got, stop := receive(c, mb, nil)
	mustSend(t, c, mb, "before")
	if s := next(t, got); s != "before" {
		t.Fatalf("got %q", s)
	}

	stop()
	mustSend(t, c, mb, "meanwhile")
	again, _ := receive(c, mb, nil)
	if s := next(t, again); s != "meanwhile" {
		t.Errorf("got %q", s)
	}
	until(t, "both are deleted", func() bool { return e.Stats.Acked.Load() == 2 })
}

func TestRelayRestartsOnItsPort(t *testing.T) {
	addr := reserve.For(t)
	e := startAt(t, addr, Config{})
	var lost atomic.Int64
	camera, err := signaling.NewClient(signaling.ClientConfig{URL: e.url, OnState: func(err error) {
		if err != nil {
			if !strings.HasPrefix(err.Error(), "cannot reach the relay at "+addr+": ") {
				t.Errorf("state %q", err)
			}
			lost.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}

	runClient(t, camera)
	viewer, mb := e.client(t), newMailbox()
	got, _ := receive(camera, mb, nil)
	defer camera.Keep(mb)()

	mustSend(t, viewer, mb, "one")
	if s := next(t, got); s != "one" {
		t.Fatalf("got %q", s)
	}

	e.stop()
	until(t, "the loss is noticed", func() bool { return lost.Load() > 0 })
	sent := make(chan error, 1)
	go func() { // while there is no relay
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		sent <- viewer.Send(ctx, mb, []byte("two"), time.Minute)
	}()

	startAt(t, addr, Config{})
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if s := next(t, got); s != "two" {
		t.Errorf("after the restart: %q", s)
	}
}

func TestClientIsToldWhyItMayNotOpen(t *testing.T) {
	e := start(t, Config{})
	refused := make(chan error, 10)
	c, err := signaling.NewClient(signaling.ClientConfig{URL: strings.Replace(e.url, "127.0.0.1", "localhost", 1),
		OnRefused: func(err error) {
			refused <- err
		}})
	if err != nil {
		t.Fatal(err)
	}

	runClient(t, c)
	c.Receive(newMailbox(), func(signaling.Delivery) bool { return true })
	var refusal *signaling.Error
	if err := <-refused; !errors.As(err, &refusal) || refusal.Code != signaling.CodeSignature {
		t.Errorf("reading: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = c.Send(ctx, newMailbox(), []byte("x"), 0)
	if !errors.As(err, &refusal) || refusal.Code != signaling.CodeSignature ||
		!strings.Contains(err.Error(), "another URL") {
		t.Errorf("sending: %v", err)
	}
}

func TestSendRefusesBodies(t *testing.T) {
	c := start(t, Config{}).client(t)
	for name, n := range map[string]int{"empty": 0, "too large": signaling.MaxBody + 1} {
		if err := c.Send(t.Context(), newMailbox(), make([]byte, n), 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestConcurrentSendersKeepTheirOrder(t *testing.T) {
	const senders, each = 8, 40
	e := start(t, Config{})
	camera := e.client(t)
	var boxes [senders]signaling.Mailbox
	var got [senders]chan string
	for i := range senders {
		boxes[i] = newMailbox()
		got[i], _ = receive(camera, boxes[i], nil)
	}

	failed := make(chan error, senders)
	for i := range senders {
		viewer := e.client(t)
		go func() {
			defer viewer.Keep(boxes[i])()
			for n := range each {
				if err := viewer.Send(context.Background(), boxes[i], binary.BigEndian.AppendUint32(nil, uint32(n)),
					time.Minute); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}

	for range senders {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}

	for i := range senders {
		for n := range each {
			if s := next(t, got[i]); binary.BigEndian.Uint32([]byte(s)) != uint32(n) {
				t.Fatalf("mailbox %d: got message %x, want %d", i, s, n)
			}
		}
	}
}

// BenchmarkFirstMessage measures what a session's first offer costs: dial, open, post, deliver.
func BenchmarkFirstMessage(b *testing.B) {
	e := start(b, Config{}).url
	mb := newMailbox()
	camera, _ := signaling.NewClient(signaling.ClientConfig{URL: e})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go camera.Run(ctx)

	got := make(chan struct{}, 1)
	camera.Receive(mb, func(signaling.Delivery) bool { got <- struct{}{}; return true })
	if err := camera.Connect(ctx); err != nil {
		b.Fatal(err)
	}

	for b.Loop() {
		viewer, _ := signaling.NewClient(signaling.ClientConfig{URL: e})
		running, stop := context.WithCancel(ctx)
		go viewer.Run(running)
		if err := viewer.Send(running, mb, []byte("offer"), time.Minute); err != nil {
			b.Fatal(err)
		}
		<-got
		stop()
	}
}
