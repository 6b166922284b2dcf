package signaling

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A rejection is told once for each delivery, before or after the ack, and never on another connection than the one that brought it.
func TestReject(t *testing.T) {
	mb := testMailbox(1)
	name := mb.Name()
	said := make(chan Frame, 100)
	lose, lost := make(chan struct{}), 0
	url := hostile(t, func(ctx context.Context, ws *websocket.Conn) {
		_ = say(ctx, ws, Challenge{})
		_, _, _ = ws.Read(ctx) // the mailbox is open
		_ = say(ctx, ws, Deliver{Name: name, Seq: uint64(lost), Body: []byte{1}})
		ended := make(chan struct{})
		defer close(ended)
		if lost++; lost == 1 {
			go func() {
				select {
				case <-lose:
					ws.CloseNow() // a context that ends between two reads would end none
				case <-ended:
				}
			}()
		}
		for {
			_, b, err := ws.Read(ctx)
			if err != nil {
				return
			}
			if f, err := Parse(b); err == nil {
				said <- f
			}
		}
	})
	arrived := make(chan Delivery, 10)
	c := run(t, ClientConfig{URL: url})
	c.Receive(mb, func(d Delivery) bool { arrived <- d; return true })
	first := take(t, arrived)
	want(t, said, Ack{name, 0})
	var all sync.WaitGroup
	for range 8 {
		all.Go(first.Reject)
	}
	all.Wait()
	want(t, said, Reject{name, 0})
	close(lose)
	second := take(t, arrived)
	want(t, said, Ack{name, 1})
	first.Reject()
	second.Reject()
	want(t, said, Reject{name, 1})
	Delivery{Body: []byte{1}}.Reject() // of nobody: nothing happens
	c.Keep(testMailbox(3))()           // whose frames are next
	want(t, said, Close{testMailbox(3).Name()})
}

// A delivery whose connection is lost before it is judged is told to nobody.
func TestRejectIsOfItsConnection(t *testing.T) {
	l := newLink(nil, "", [32]byte{})
	d := NewDelivery(nil, func() { l.send(Reject{}) })
	l.waiting = nil // as close leaves it
	d.Reject()
	if len(l.take()) != 0 {
		t.Error("a lost connection has something to write")
	}
}

func take[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case x := <-c:
		return x
	case <-time.After(patience):
		t.Fatal("nothing arrived")
		panic("unreachable")
	}
}

// want reads on to the next frame that is no Open, and compares.
func want(t *testing.T, said <-chan Frame, want Frame) {
	t.Helper()
	for {
		got := take(t, said)
		if _, open := got.(Open); open {
			continue
		}
		if got != want {
			t.Fatalf("got %#v, want %#v", got, want)
		}
		return
	}
}
