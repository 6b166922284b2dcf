package signaling

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// A relay that is wrong about one connection, and refuses all that is opened on it, is reached anew by a device that only reads, and by one that
// only asks now and then; and a mailbox that is refused for good is asked for again ever more seldom.
func TestRefusedConnectionIsMadeAnew(t *testing.T) {
	t.Parallel()
	opened := make(chan int, 8)
	n := 0
	url := hostile(t, func(ctx context.Context, ws *websocket.Conn) {
		n++
		if say(ctx, ws, Challenge{Time: uint64(time.Now().UnixMilli())}) != nil {
			return
		}
		for {
			_, b, err := ws.Read(ctx)
			if err != nil {
				return
			}
			f, err := Parse(b)
			open, ok := f.(Open)
			switch {
			case err != nil || !ok:
			case n == 1:
				err = say(ctx, ws, Refused{ID: open.ID, Code: CodeSignature, Text: "signature does not verify"})
			default:
				opened <- n
				err = say(ctx, ws, OK{open.ID})
			}
			if err != nil {
				return
			}
		}
	})
	states := make(chan error, 16)
	c := run(t, ClientConfig{URL: url, OnState: func(err error) { states <- err }})
	defer c.Receive(testMailbox(1), func(Delivery) bool { return true })()
	state(t, states, "signature does not verify")
	select {
	case <-opened:
	case <-time.After(patience):
		t.Fatal("the mailbox was not opened on another connection")
	}
}

// What is refused and wanted no longer leaves the connection alone; a refused signature does not.
func TestDoubtWantsAReason(t *testing.T) {
	c := &Client{received: make(map[Name]*receiver), kept: make(map[Name]*keptMailbox)}
	for _, tt := range []struct {
		name    string
		code    Code
		refused bool
		read    bool
		want    bool
	}{
		{"a quota, still wanted", CodeQuota, true, true, true},
		{"a quota, given up", CodeQuota, true, false, false},
		{"a signature", CodeSignature, false, false, true},
	} {
		l := newLink(nil, "", [32]byte{})
		clear(c.received)
		if tt.refused {
			l.refused[Name{1}] = &Error{Code: tt.code}
		}
		if tt.read {
			c.received[Name{1}] = &receiver{}
		}
		if !l.mayBeWrong(&Error{Code: tt.code}) || l.mayBeWrong(&Error{Code: tt.code}) {
			t.Errorf("%s: doubted twice, or never", tt.name)
		}
		if got := c.wants(l); got != tt.want {
			t.Errorf("%s: made anew %v, want %v", tt.name, got, tt.want)
		}
		if !l.mayBeWrong(&Error{Code: tt.code}) {
			t.Errorf("%s: cannot be doubted again", tt.name)
		}
	}
}

// Doubts come ever more seldom, up to a limit, and soon again after a long peace.
func TestDoubtsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{}
		last := time.Duration(0)
		for range 12 {
			now := c.nextDoubt()
			if now < last || now > maxDoubt {
				t.Fatalf("%s after %s", now, last)
			}
			last = now
			time.Sleep(now)
		}
		if last != maxDoubt {
			t.Errorf("they grow to %s, want %s", last, maxDoubt)
		}
		time.Sleep(3 * maxDoubt)
		if got := c.nextDoubt(); got != firstDoubt {
			t.Errorf("after a long peace %s, want %s", got, firstDoubt)
		}
	})
}

// A mailbox whose opening is never answered is noticed.
func TestIgnoredOpen(t *testing.T) {
	l := newLink(nil, "", [32]byte{})
	l.open(testMailbox(1), Read)
	if now := time.Now(); l.ignored(now) || !l.ignored(now.Add(openWait+time.Second)) {
		t.Error("not noticed, or too soon")
	}
	l.answer(1, answer{err: errors.New("no")})
	if l.ignored(time.Now().Add(time.Hour)) {
		t.Error("it was answered")
	}
}
