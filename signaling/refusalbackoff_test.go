package signaling

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// If a relay refuses everything on one connection, the client makes another, even if it only reads.
func TestRefusedConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	opened := make(chan int, 8)
	n := 0
	url := hostileRelay(t, func(ctx context.Context, ws *websocket.Conn) {
		n++
		if sendFrame(ctx, ws, Challenge{Time: uint64(time.Now().UnixMilli())}) != nil {
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
				err = sendFrame(ctx, ws, Refused{ID: open.ID, Code: CodeSignature, Text: "signature does not verify"})
			default:
				opened <- n
				err = sendFrame(ctx, ws, OK{open.ID})
			}
			if err != nil {
				return
			}
		}
	})

	states := make(chan error, 16)
	c := runClient(t, ClientConfig{URL: url, OnState: func(err error) { states <- err }})
	defer c.Receive(testMailbox(1), func(Delivery) bool { return true })()
	waitForState(t, states, "signature does not verify")
	select {
	case <-opened:
	case <-time.After(patience):
		t.Fatal("the mailbox was not opened on another connection")
	}
}

// A refused mailbox that nobody wants any more does not end the connection; a refused signature does.
func TestRetryNeedsAReason(t *testing.T) {
	c := &Client{receivers: make(map[Name]*receiver), kept: make(map[Name]*keptMailbox)}
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
		clear(c.receivers)
		if tt.refused {
			l.refused[Name{1}] = &Error{Code: tt.code}
		}
		if tt.read {
			c.receivers[Name{1}] = &receiver{}
		}

		if !l.beginRetry(&Error{Code: tt.code}) || l.beginRetry(&Error{Code: tt.code}) {
			t.Errorf("%s: want one pending retry", tt.name)
		}
		if got := c.wantsRetry(l); got != tt.want {
			t.Errorf("%s: reconnects: %v, want %v", tt.name, got, tt.want)
		}
		if !l.beginRetry(&Error{Code: tt.code}) {
			t.Errorf("%s: cannot be retried again", tt.name)
		}
	}
}

// Reconnects after refusals become rarer, up to a limit. After a long time without refusals, they are quick again.
func TestRefusalBackoffGrowsToItsLimit(t *testing.T) {
	var b refusalBackoff
	now, last := time.Now(), time.Duration(0)
	for range 12 {
		wait := b.next(now)
		if wait < last || wait > maxRefusalBackoff {
			t.Fatalf("%s after %s", wait, last)
		}
		last = wait
		now = now.Add(wait)
	}
	if last != maxRefusalBackoff {
		t.Errorf("the backoff grows to %s, want %s", last, maxRefusalBackoff)
	}

	now = now.Add(3 * maxRefusalBackoff)
	if got := b.next(now); got != minRefusalBackoff {
		t.Errorf("after a long time without refusals: %s, want %s", got, minRefusalBackoff)
	}
}

// The client notices if an Open is never answered.
func TestUnansweredOpenIsOverdue(t *testing.T) {
	l := newLink(nil, "", [32]byte{})
	l.openMailbox(testMailbox(1), Read)
	if now := time.Now(); l.openOverdue(now) || !l.openOverdue(now.Add(openTimeout+time.Second)) {
		t.Error("not noticed, or too soon")
	}

	l.resolve(1, answer{err: errors.New("no")})
	if l.openOverdue(time.Now().Add(time.Hour)) {
		t.Error("an Open that was answered is overdue")
	}
}
