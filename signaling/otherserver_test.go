package signaling_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/test/bubble"
)

// otherServer starts a server that is no relay, whose clients sign an origin.
func otherServer(t *testing.T, origin string) *relay {
	t.Helper()
	r, err := newRelay(server.Config{PublicURL: origin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

// dialing returns a way to a server on which clients sign an origin.
func (r *relay) dialing(origin string) func(context.Context) (net.Conn, string, error) {
	return func(ctx context.Context) (net.Conn, string, error) {
		conn, err := r.dial(ctx, 7)
		return conn, origin, err
	}
}

// runOther runs a client that reaches its server by dial.
func runOther(t *testing.T, cfg signaling.ClientConfig) *signaling.Client {
	t.Helper()
	cfg.URL = "the camera on this network"
	c, err := signaling.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return c
}

func randomMailbox(t *testing.T) signaling.Mailbox {
	t.Helper()
	_, read, err := ed25519.GenerateKey(rand.Reader)
	_, write, err2 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return signaling.Mailbox{Read: read, Write: write}
}

func TestMessagesPassByAnotherWayThanAURL(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const origin = "p2p:camera/viewer"
		r, mb := otherServer(t, origin), randomMailbox(t)
		reader := runOther(t, signaling.ClientConfig{Dial: r.dialing(origin)})
		writer := runOther(t, signaling.ClientConfig{Dial: r.dialing(origin)})

		got := make(chan string, 1)
		reader.Receive(mb, func(d signaling.Delivery) bool { got <- string(d.Body); return true })
		if err := writer.Send(t.Context(), mb, []byte("offer"), time.Minute); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "offer" {
			t.Errorf("got %q", s)
		}
	})
}

// A signature for one connection's ends must not serve a device that stands between them.
func TestSignatureForOtherEndsIsRefused(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		refused := make(chan error, 1)
		c := runOther(t, signaling.ClientConfig{
			Dial:      otherServer(t, "p2p:camera/thief").dialing("p2p:camera/viewer"),
			OnRefused: func(err error) { refused <- err },
		})
		c.Receive(randomMailbox(t), func(signaling.Delivery) bool { return true })

		var refusal *signaling.Error
		if err := <-refused; !errors.As(err, &refusal) || refusal.Code != signaling.CodeSignature {
			t.Errorf("the relayed signature: %v", err)
		}
	})
}

func TestOtherServerIsNamedInMessages(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		states := make(chan error, 1)
		runOther(t, signaling.ClientConfig{
			Dial: func(context.Context) (net.Conn, string, error) {
				return nil, "", syscall.EHOSTUNREACH
			},
			OnState: func(err error) {
				select {
				case states <- err:
				default:
				}
			},
		})

		const want = "cannot reach the camera on this network: no network"
		if err := <-states; err == nil || err.Error() != want {
			t.Errorf("state %v, want %q", err, want)
		}
	})
}

// A search of the network takes as long as it takes. Probe leaves it alone; Redial, which means that this device's
// addresses have changed, begins it anew.
func TestSearchGoesOnUntilAddressesChange(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var begun, underWay atomic.Int32
		c := runOther(t, signaling.ClientConfig{Dial: func(ctx context.Context) (net.Conn, string, error) {
			begun.Add(1)
			if n := underWay.Add(1); n > 1 {
				t.Errorf("%d searches at the same time", n)
			}
			defer underWay.Add(-1)
			<-ctx.Done()
			return nil, "", ctx.Err()
		}})

		for range 100 {
			c.Probe()
			time.Sleep(time.Second) // of the bubble
		}
		if n := begun.Load(); n != 1 {
			t.Errorf("%d searches, want 1", n)
		}

		c.Redial()
		synctest.Wait()
		if n := begun.Load(); n != 2 {
			t.Errorf("%d searches after the addresses changed, want 2", n)
		}
		if c.Connected() {
			t.Error("connected to nobody")
		}
	})
}

// While somebody waits, a way that fails at once is tried every half second, and otherwise at longer and longer pauses.
func TestFailingWayIsNotTriedInAStorm(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		c := runOther(t, signaling.ClientConfig{Dial: func(context.Context) (net.Conn, string, error) {
			tries.Add(1)
			return nil, "", io.EOF
		}})

		for range 60 {
			c.Probe()
			time.Sleep(time.Second) // of the bubble
		}
		if n := tries.Swap(0); n < 60 || n > 200 {
			t.Errorf("%d tries in a minute with somebody waiting", n)
		}

		time.Sleep(5 * time.Minute)
		tries.Store(0)
		time.Sleep(10 * time.Minute)
		if n := tries.Load(); n < 10 || n > 60 {
			t.Errorf("%d tries in ten minutes with nobody waiting", n)
		}
	})
}

// A hostile server on the network must not make the client connect anywhere else, or take much of its memory.
func TestOtherServersResponseIsBounded(t *testing.T) {
	for name, response := range map[string]string{
		"redirect":      "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/v1/signal\r\nContent-Length: 0\r\n\r\n",
		"long header":   "HTTP/1.1 101 Switching Protocols\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"no WebSocket":  "HTTP/1.1 200 OK\r\n\r\n",
		"not even HTTP": "\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				var dials atomic.Int32
				failed := make(chan error, 1)
				var serving sync.WaitGroup
				serving.Go(func() {
					buffer := make([]byte, 4096)
					_, _ = theirs.Read(buffer)
					_, _ = io.WriteString(theirs, response)
					_, _ = io.Copy(io.Discard, theirs) // until the client has closed its end
					theirs.Close()
				})

				runOther(t, signaling.ClientConfig{
					Dial: func(ctx context.Context) (net.Conn, string, error) {
						if dials.Add(1) > 1 {
							<-ctx.Done()
							return nil, "", ctx.Err()
						}
						return ours, "origin", nil
					},
					OnState: func(err error) { failed <- err },
				})
				if err := <-failed; err == nil {
					t.Error("connected")
				}
				serving.Wait() // the client keeps nothing of a server that failed
			})
		})
	}
}

// Nothing wakes a device whose own server is in the same process.
func TestClientInProcessSendsNoPings(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, inProcess := range []bool{true, false} {
			r := otherServer(t, "origin")
			var written atomic.Int64
			c := runOther(t, signaling.ClientConfig{
				InProcess: inProcess,
				Dial: func(ctx context.Context) (net.Conn, string, error) {
					conn, err := r.dial(ctx, 7)
					return countedConn{conn, &written}, "origin", err
				},
			})
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}

			synctest.Wait()
			written.Store(0)
			c.Probe()
			time.Sleep(19 * time.Second) // before the server's first ping, which the client answers
			if wrote := written.Load() > 0; wrote == inProcess {
				t.Errorf("in process %v: the client wrote %v", inProcess, wrote)
			}
		}
	})
}

// countedConn counts the bytes that are written to it.
type countedConn struct {
	net.Conn
	written *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.written.Add(int64(len(b)))
	return c.Conn.Write(b)
}
