package signaling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/noleak"
	"github.com/peephole-cam/peephole/test/reserve"
)

func TestMain(m *testing.M) { noleak.Main(m) }

const patience = 2 * time.Minute

// hostileRelay starts a relay that calls serve for each connection, and returns its URL.
func hostileRelay(t testing.TB, serve func(ctx context.Context, ws *websocket.Conn)) (url string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Subprotocol}})
		if err != nil {
			return
		}
		defer ws.CloseNow()

		serve(r.Context(), ws)
		for err == nil { // until the client has left: to close with bytes unread would discard what was sent
			_, _, err = ws.Read(r.Context())
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func sendFrame(ctx context.Context, ws *websocket.Conn, f Frame) error {
	return ws.Write(ctx, websocket.MessageBinary, Append(nil, f))
}

// runClient starts a client that ends with the test.
func runClient(t testing.TB, cfg ClientConfig) *Client {
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return c
}

// waitForState waits for a state whose text contains want.
func waitForState(t *testing.T, states <-chan error, want string) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case err := <-states:
			if err != nil && strings.Contains(err.Error(), want) {
				return
			}
			t.Logf("state: %v", err)
		case <-timer.C:
			t.Fatalf("no state %q", want)
		}
	}
}

func TestClientSurvivesItsRelay(t *testing.T) {
	deliverAndRead := func(ctx context.Context, ws *websocket.Conn) {
		for range 2000 { // for a mailbox that nobody opened
			if sendFrame(ctx, ws, Deliver{Name: Name{1}, Body: make([]byte, MaxBody)}) != nil {
				return
			}
		}
	}
	for name, tt := range map[string]struct {
		serve func(ctx context.Context, ws *websocket.Conn)
		want  string
	}{
		"says nothing and leaves": {func(_ context.Context, ws *websocket.Conn) { ws.CloseNow() }, "connection lost"},
		"no challenge": {func(ctx context.Context, ws *websocket.Conn) {
			_ = sendFrame(ctx, ws, OK{})
		}, "does not speak this protocol"},
		"two challenges": {func(ctx context.Context, ws *websocket.Conn) {
			_, _ = sendFrame(ctx, ws, Challenge{}), sendFrame(ctx, ws, Challenge{})
		}, "does not speak this protocol"},
		"a client's frame": {func(ctx context.Context, ws *websocket.Conn) {
			_, _ = sendFrame(ctx, ws, Challenge{}), sendFrame(ctx, ws, Ack{})
		}, "does not speak this protocol"},
		"nonsense": {func(ctx context.Context, ws *websocket.Conn) {
			_ = sendFrame(ctx, ws, Challenge{Time: 1<<64 - 1})
			_ = ws.Write(ctx, websocket.MessageText, []byte("<html>"))
		}, "does not speak this protocol"},
		"more than a frame": {func(ctx context.Context, ws *websocket.Conn) {
			_, _ = sendFrame(ctx, ws, Challenge{}), ws.Write(ctx, websocket.MessageBinary, make([]byte, 1<<20))
		}, "cannot reach the relay at 127.0.0.1"},
		"answers that nobody asked for": {func(ctx context.Context, ws *websocket.Conn) {
			_ = sendFrame(ctx, ws, Challenge{})
			for id := range uint32(100) {
				_, _ = sendFrame(ctx, ws, OK{ID: id}), sendFrame(ctx, ws, Granted{ID: id, JSON: []byte("}{")})
				_ = sendFrame(ctx, ws, Refused{ID: id + 1, Code: 429})
			}
			deliverAndRead(ctx, ws)
			_ = sendFrame(ctx, ws, Refused{Code: CodeClosing, Text: "that was all"})
		}, "that was all"},
		"plays with the terminal": {func(ctx context.Context, ws *websocket.Conn) {
			_, _ = sendFrame(ctx, ws, Challenge{}),
				sendFrame(ctx, ws, Refused{Code: 400, Text: "\x1b[2J\u202eno\n" + strings.Repeat("!", 60000)})
		}, ": ?[2J?no?!!!"},
	} {
		t.Run(name, func(t *testing.T) {
			states := make(chan error, 100)
			c := runClient(t, ClientConfig{URL: hostileRelay(t, tt.serve), OnState: func(err error) {
				select {
				case states <- err:
				default:
				}
			}})

			c.Receive(testMailbox(1), func(Delivery) bool { return true })
			waitForState(t, states, tt.want)
		})
	}
}

func TestAnswersOfAHostileRelayAreErrors(t *testing.T) {
	url := hostileRelay(t, func(ctx context.Context, ws *websocket.Conn) {
		_ = sendFrame(ctx, ws, Challenge{})
		for {
			_, b, err := ws.Read(ctx)
			if err != nil {
				return
			}

			f, _ := Parse(b)
			if f, ok := f.(GrantRequest); ok {
				texts := []string{"", "null", "[]", `{"urls":[` + strings.Repeat(`"turn:x",`, 100) + `""]}`,
					strings.Repeat("[", 60000)}
				_ = sendFrame(ctx, ws, Granted{ID: f.ID, JSON: []byte(texts[rand.IntN(len(texts))])})
			}
			if f, ok := f.(Post); ok {
				_ = sendFrame(ctx, ws, Refused{ID: f.ID, Code: 999, Text: "\x00"})
			}
		}
	})

	c := runClient(t, ClientConfig{URL: url})
	for range 50 {
		if g, err := c.Grant(t.Context(), testMailbox(1), ""); err == nil && len(g.URLs) > 0 {
			t.Fatalf("granted %+v", g)
		}
	}

	var refusal *Error
	if err := c.Send(t.Context(), testMailbox(1), []byte("x"), 0); !errors.As(err, &refusal) || refusal.Text != "?" {
		t.Errorf("got %v", err)
	}
}

// A relay that delivers without end and reads nothing can make the client wait, but cannot make its memory grow.
func TestAcksAreBounded(t *testing.T) {
	var delivered atomic.Int64
	mb := testMailbox(1)
	url := hostileRelay(t, func(ctx context.Context, ws *websocket.Conn) {
		_ = sendFrame(ctx, ws, Challenge{})
		for {
			if sendFrame(ctx, ws, Deliver{Name: mb.Name(), Body: []byte{1}}) != nil {
				return
			}
			delivered.Add(1)
		}
	})

	c := runClient(t, ClientConfig{URL: url})
	c.Receive(mb, func(Delivery) bool { return true })
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}

	deadline, last, still := time.Now().Add(patience), int64(0), time.Now()
	for last < maxQueue || time.Since(still) < 300*time.Millisecond { // until the relay can send nothing more
		if n := delivered.Load(); n != last {
			last, still = n, time.Now()
		}

		c.mu.Lock()
		l := c.link
		c.mu.Unlock()
		if l != nil {
			l.mu.Lock()
			n := len(l.queue)
			l.mu.Unlock()
			if n > 2*maxQueue {
				t.Fatalf("%d acks are queued", n)
			}
		}

		if time.Now().After(deadline) {
			t.Fatalf("after %d deliveries the client still accepts more, or stopped too early", last)
		}
		runtime.Gosched()
	}

	// The lock is free: the client still accepts requests while the relay stalls.
	c.Keep(testMailbox(3))()
}

func TestUnreachableRelayIsExplained(t *testing.T) {
	gone := reserve.For(t)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	defer secure.Close()

	for name, tt := range map[string]struct{ url, want string }{
		"nobody listens": {"http://" + gone, "cannot reach the relay at " + gone + ": connection refused"},
		"another server": {web.URL, "it answers HTTP 404: is it a Peephole relay?"},
		"unknown certificate": {secure.URL,
			"its certificate is not trusted: x509: certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			states := make(chan error, 100)
			c := runClient(t, ClientConfig{URL: tt.url, OnState: func(err error) {
				select {
				case states <- err:
				default:
				}
			}})

			waitForState(t, states, tt.want)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := c.Connect(ctx); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("connect: %v", err)
			}

			if name == "nobody listens" &&
				!errors.Is(c.Send(ctx, testMailbox(1), []byte("x"), 0), syscall.ECONNREFUSED) {
				t.Error("the error does not wrap its cause")
			}
		})
	}
}

func TestClientWantsARelayURL(t *testing.T) {
	for _, url := range []string{"https://relay.example", "https://relay.example:8443", "http://127.0.0.1:1",
		"http://[::1]:1", "http://localhost:1"} {
		if _, err := NewClient(ClientConfig{URL: url}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{
		"", "relay.example", "https://", "https://relay.example/", "https://relay.example/x", "https://a@relay.example",
		"https://relay.example?q",
		"https://relay.example#f", "http://relay.example", "http://127.0.0.1.example", "http://192.0.2.1",
		"ws://127.0.0.1", "://",
	} {
		if _, err := NewClient(ClientConfig{URL: url}); err == nil {
			t.Errorf("%s was accepted", url)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBackoffGrowsWithJitter(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c, err := NewClient(ClientConfig{URL: "https://relay.example"})
		if err != nil {
			t.Fatal(err)
		}
		var at []time.Time
		c.http = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			at = append(at, time.Now())
			return nil, io.EOF
		})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()

		if err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("run: %v", err)
		}
		if len(at) < 3600/33 || len(at) > 3600/3 {
			t.Errorf("%d attempts in an hour", len(at))
		}

		gaps := make(map[time.Duration]bool)
		for i := range at[1:] {
			gap := at[i+1].Sub(at[i])
			gaps[gap] = true
			bound := min(minBackoff<<min(i, 20), maxBackoff)
			if gap < bound/10 || gap > bound+bound/10 {
				t.Errorf("attempt %d came after %v, want between %v and %v", i+1, gap, bound/10, bound+bound/10)
			}
		}

		if len(gaps) < len(at)/2 {
			t.Error("the waits have no jitter")
		}
	})
}

// FuzzRelay: nothing that a relay sends makes the client panic, wait for ever, or deliver from a mailbox that is not
// open.
func FuzzRelay(f *testing.F) {
	mb := testMailbox(1)
	f.Add(Append(nil, Deliver{Name: mb.Name(), Body: []byte{1}}), Append(nil, Refused{ID: 1, Text: "no"}))
	f.Add(Append(nil, Granted{ID: 1, JSON: []byte(`{"urls":["turn:x"]}`)}), []byte{0xff})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a) > MaxFrame || len(b) > MaxFrame {
			return
		}
		url := hostileRelay(t, func(ctx context.Context, ws *websocket.Conn) {
			for _, frame := range [][]byte{Append(nil, Challenge{}), a, b} {
				if ws.Write(ctx, websocket.MessageBinary, frame) != nil {
					return
				}
			}
			_ = sendFrame(ctx, ws, Refused{Code: CodeClosing, Text: "end"})
		})

		c, err := NewClient(ClientConfig{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		c.Receive(mb, func(d Delivery) bool {
			if len(d.Body) == 0 || len(d.Body) > MaxFrame {
				t.Errorf("a body of %d bytes", len(d.Body))
			}
			d.Reject()
			return true
		})

		if _, err := c.connect(t.Context()); err == nil {
			t.Error("the connection ended without an error")
		} else if text := fmt.Sprint(&reachError{"h", err}); strings.ContainsAny(text, "\x1b\n") {
			t.Errorf("a person would see %q", text)
		}
		c.http.CloseIdleConnections()
	})
}
