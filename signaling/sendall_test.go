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

// slow is a relay that answers nothing before a client has posted all that it may without an answer.
type slow struct {
	posts  chan Post     // what arrives
	answer chan struct{} // a token for each answer
	lose   chan struct{} // a token ends a connection
	refuse string        // the body that is refused
}

func newSlow(t *testing.T) (*slow, *Client) {
	s := &slow{posts: make(chan Post, 1000), answer: make(chan struct{}, 1000), lose: make(chan struct{}, 1)}
	return s, run(t, ClientConfig{URL: hostile(t, s.serve)})
}

func (s *slow) serve(ctx context.Context, ws *websocket.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = say(ctx, ws, Challenge{})
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
				_ = say(ctx, ws, Refused{ID: post.ID, Code: CodeQuota, Text: "full"})
				return
			}
			_ = say(ctx, ws, OK{ID: post.ID})
		}()
	}
}

// bodies are those of the next n posts.
func (s *slow) bodies(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		all = append(all, string(take(t, s.posts).Body))
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

// The relay has all of them before it has answered one; and after a lost connection those that it has not answered, in the same order.
func TestSendAll(t *testing.T) {
	s, c := newSlow(t)
	queue := outgoing("a", "b", "c", "d")
	close(queue)
	done := make(chan error, 1)
	go func() {
		done <- c.SendAll(t.Context(), testMailbox(1), queue, time.Minute, func(err error) { t.Errorf("refused: %v", err) })
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
	if err := take(t, done); err != nil {
		t.Error(err)
	}
}

// No more than a window waits for an answer; what is refused is told, and the rest goes on; what is too late or too long does not leave.
func TestSendAllWindow(t *testing.T) {
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
	for range sendWindow + 1 { // c may be answered before b
		s.answer <- struct{}{}
	}
	var refusal *Error
	if err := take(t, refused); !errors.As(err, &refusal) || refusal.Code != CodeQuota {
		t.Errorf("refused: %v", err)
	}
	if got := s.bodies(t, 1); got[0] != "c" {
		t.Errorf("posted %q, want c", got)
	}
	queue <- Outgoing{Body: []byte("late"), Until: time.Now().Add(-time.Second)}
	queue <- Outgoing{Body: make([]byte, MaxBody+1)}
	if err := take(t, refused); !strings.Contains(err.Error(), "at most 40000") {
		t.Errorf("refused: %v", err)
	}
	queue <- Outgoing{Body: []byte("d"), Until: time.Now().Add(time.Hour)}
	if got := s.bodies(t, 1); got[0] != "d" {
		t.Errorf("posted %q, want d", got)
	}
	cancel()
	if err := take(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
