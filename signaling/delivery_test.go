package signaling

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Each delivery is rejected at most once, before or after its ack, and only on the connection that brought it.
func TestRejectIsSentOncePerDelivery(t *testing.T) {
	mb := testMailbox(1)
	name := mb.Name()
	said := make(chan Frame, 100)
	lose, lost := make(chan struct{}), 0
	url := hostileRelay(t, func(ctx context.Context, ws *websocket.Conn) {
		_ = sendFrame(ctx, ws, Challenge{})
		_, _, _ = ws.Read(ctx) // the mailbox is open
		_ = sendFrame(ctx, ws, Deliver{Name: name, Seq: uint64(lost), Body: []byte{1}})
		ended := make(chan struct{})
		defer close(ended)
		if lost++; lost == 1 {
			go func() {
				select {
				case <-lose:
					ws.CloseNow() // ending ctx would have no effect between two reads
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
	c := runClient(t, ClientConfig{URL: url})
	c.Receive(mb, func(d Delivery) bool { arrived <- d; return true })
	first := receive(t, arrived)
	wantFrame(t, said, Ack{name, 0})

	var all sync.WaitGroup
	for range 8 {
		all.Go(first.Reject)
	}
	all.Wait()
	wantFrame(t, said, Reject{name, 0})

	close(lose)
	second := receive(t, arrived)
	wantFrame(t, said, Ack{name, 1})
	first.Reject()
	second.Reject()
	wantFrame(t, said, Reject{name, 1})

	Delivery{Body: []byte{1}}.Reject() // no relay delivered it, so nothing happens
	c.Keep(testMailbox(3))()           // so that the next frames must be about this mailbox
	wantFrame(t, said, Close{testMailbox(3).Name()})
}

// If the connection is lost before a delivery is judged, the delivery is not rejected anywhere.
func TestRejectAfterTheConnectionIsLostDoesNothing(t *testing.T) {
	l := newLink(nil, "", [32]byte{})
	d := NewDelivery(nil, func() { l.send(Reject{}) })
	l.waiting = nil // as after close
	d.Reject()
	if len(l.emptyQueue()) != 0 {
		t.Error("a closed link has something to write")
	}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case x := <-c:
		return x
	case <-time.After(patience):
		t.Fatal("nothing arrived")
		panic("unreachable")
	}
}

// wantFrame compares the next frame that is not an Open with want.
func wantFrame(t *testing.T, said <-chan Frame, want Frame) {
	t.Helper()
	for {
		got := receive(t, said)
		if _, open := got.(Open); open {
			continue
		}
		if got != want {
			t.Fatalf("got %#v, want %#v", got, want)
		}
		return
	}
}
