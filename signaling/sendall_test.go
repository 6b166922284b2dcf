package signaling

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// slow is a relay that answers only when the test allows it.
type slow struct {
	posts  chan Post     // the posts that have arrived
	answer chan struct{} // each token allows one answer
	lose   chan struct{} // a token ends a connection
	refuse string        // the body to refuse
}

func newSlow(t *testing.T) (*slow, *Client) {
	s := &slow{posts: make(chan Post, 1000), answer: make(chan struct{}, 1000), lose: make(chan struct{}, 1)}
	return s, runClient(t, ClientConfig{URL: hostileRelay(t, s.serve)})
}

func (s *slow) serve(ctx context.Context, ws *websocket.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = sendFrame(ctx, ws, Challenge{})
	go func() {
		select {
		case <-s.lose:
			ws.CloseNow()
		case <-ctx.Done():
		}
	}()

	for {
		_, b, err := ws.Read(ctx)
		if err != nil {
			return
		}
		f, _ := Parse(b)
		post, ok := f.(Post)
		if !ok {
			continue
		}

		s.posts <- post
		go func() {
			select {
			case <-s.answer:
			case <-ctx.Done():
				return
			}

			if string(post.Body) == s.refuse {
				_ = sendFrame(ctx, ws, Refused{ID: post.ID, Code: CodeQuota, Text: "full"})
				return
			}
			_ = sendFrame(ctx, ws, OK{ID: post.ID})
		}()
	}
}

// bodies returns the bodies of the next n posts.
func (s *slow) bodies(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		all = append(all, string(receive(t, s.posts).Body))
	}
	return all
}

func outgoing(bodies ...string) chan Outgoing {
	queue := make(chan Outgoing, len(bodies))
	for _, b := range bodies {
		queue <- Outgoing{Body: []byte(b)}
	}
	return queue
}

// The relay gets all messages before it answers one. After a lost connection, it gets the unanswered ones again, in the
// same order.
func TestSendAllDoesNotWaitForAnswers(t *testing.T) {
	s, c := newSlow(t)
	queue := outgoing("a", "b", "c", "d")
	close(queue)
	done := make(chan error, 1)
	go func() {
		done <- c.SendAll(t.Context(), testMailbox(1), queue, time.Minute, func(err error) {
			t.Errorf("refused: %v", err)
		})
	}()

	want := []string{"a", "b", "c", "d"}
	if got := s.bodies(t, 4); !slices.Equal(got, want) {
		t.Fatalf("posted %q, want %q, without an answer", got, want)
	}
	s.lose <- struct{}{}
	if got := s.bodies(t, 4); !slices.Equal(got, want) {
		t.Fatalf("posted %q after the connection was lost, want %q again", got, want)
	}

	for range 4 {
		s.answer <- struct{}{}
	}
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
}

// At most a window of messages waits for answers. SendAll reports a refusal and goes on with the rest. It does not send
// messages that are too late or too long.
func TestSendAllIsBoundedByItsWindow(t *testing.T) {
	s, c := newSlow(t)
	s.refuse = "b"
	all := slices.Repeat([]string{"a"}, sendWindow-1)
	queue := outgoing(append(all, "b", "c")...)
	refused := make(chan error, 10)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		done <- c.SendAll(ctx, testMailbox(1), queue, time.Minute, func(err error) { refused <- err })
	}()
	s.bodies(t, sendWindow)
	if n := len(queue); n != 1 {
		t.Errorf("%d left in the queue, want 1: the window is full", n)
	}

	for range sendWindow + 1 { // c may be answered before b is
		s.answer <- struct{}{}
	}
	var refusal *Error
	if err := receive(t, refused); !errors.As(err, &refusal) || refusal.Code != CodeQuota {
		t.Errorf("refused: %v", err)
	}

	if got := s.bodies(t, 1); got[0] != "c" {
		t.Errorf("posted %q, want c", got)
	}
	queue <- Outgoing{Body: []byte("late"), Until: time.Now().Add(-time.Second)}
	queue <- Outgoing{Body: make([]byte, MaxBody+1)}
	if err := receive(t, refused); !strings.Contains(err.Error(), "at most 40000") {
		t.Errorf("refused: %v", err)
	}

	queue <- Outgoing{Body: []byte("d"), Until: time.Now().Add(time.Hour)}
	if got := s.bodies(t, 1); got[0] != "d" {
		t.Errorf("posted %q, want d", got)
	}
	cancel()
	if err := receive(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
