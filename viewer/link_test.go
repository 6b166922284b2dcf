package viewer

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/server"
)

// pipeRelay is a relay that clients reach over pipes. It grants ICE servers, or knows no camera.
type pipeRelay struct {
	knows  bool
	accept chan net.Conn
	gone   chan struct{}
}

func (r *pipeRelay) Accept() (net.Conn, error) {
	select {
	case c := <-r.accept:
		return c, nil
	case <-r.gone:
		return nil, net.ErrClosed
	}
}

func (r *pipeRelay) Close() error   { return nil }
func (r *pipeRelay) Addr() net.Addr { return &net.TCPAddr{} }

func (r *pipeRelay) Revoke(signaling.Name) {}
func (r *pipeRelay) Grant(string, signaling.Name, time.Time) (signaling.Grant, error) {
	return signaling.Grant{URLs: []string{"turn:192.0.2.1"}}, nil
}

// clientAfter returns a client of a new server, which it reaches after some time. If the server knows no camera, it
// wants tickets and nobody has one.
func clientAfter(t *testing.T, delay time.Duration, knows bool) *signaling.Client {
	t.Helper()
	r := &pipeRelay{accept: make(chan net.Conn), gone: make(chan struct{})}
	cfg := server.Config{PublicURL: "pipe", Bus: bus.NewLocal(), Logger: slog.New(slog.DiscardHandler), Granter: r}
	if !knows {
		cfg.TicketKey, _, _ = ed25519.GenerateKey(rand.Reader) // never fails
	}
	s, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}

	http := &http.Server{Handler: s}
	client, err := signaling.NewClient(signaling.ClientConfig{
		Dial: func(ctx context.Context) (net.Conn, string, error) {
			ours, theirs := net.Pipe()
			select {
			case <-time.After(delay):
				r.accept <- theirs
				return ours, "pipe", nil
			case <-ctx.Done():
				return nil, "", ctx.Err()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	running.Go(func() { _ = http.Serve(r) })
	running.Go(func() { _ = client.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		close(r.gone)
		http.Close()
		running.Wait()
	})
	return client
}

func linkTo(relay, lan, circuit *signaling.Client) *link {
	l := &link{relay: relay, lan: lan, circuit: circuit, began: time.Now(), changed: make(chan struct{})}
	for _, c := range []*signaling.Client{lan, circuit} {
		if c != nil {
			l.without = append(l.without, c)
		}
	}
	return l
}

func aMailbox(t *testing.T) signaling.Mailbox {
	t.Helper()
	_, read, err1 := ed25519.GenerateKey(rand.Reader)
	_, write, err2 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return signaling.Mailbox{Read: read, Write: write}
}

// A relay that knows nothing of the camera is no reason to give up a search that has just begun: the first question on
// the LAN may be lost, and the next one comes after a second.
func TestSearchGoesOnWhenTheRelayKnowsNoCamera(t *testing.T) {
	for _, tt := range []struct {
		name   string
		found  time.Duration // when the camera is found without the relay
		wanted bool
	}{
		{"found soon", 1200 * time.Millisecond, true},
		{"not found", time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := linkTo(clientAfter(t, 0, false), clientAfter(t, tt.found, true), nil)
				grant, err := l.askGrant(t.Context(), aMailbox(t))
				if grant != nil || (err == nil) != tt.wanted || err != nil && !notAdmitted(err) {
					t.Errorf("grant %v, error %v", grant, err)
				}
				if took := time.Since(l.began); took > searchWait+relayGrace {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

// Who is found through a circuit relay is seldom reached without the relay's ICE servers. The relay may be there a
// moment later.
func TestRelaySlowerThanACircuitGrantsICEServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		relay, lan := clientAfter(t, 1500*time.Millisecond, true), clientAfter(t, time.Hour, true)
		l := linkTo(relay, lan, clientAfter(t, time.Second, true))
		if err := l.circuit.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if grant, err := l.askGrant(t.Context(), aMailbox(t)); grant == nil || err != nil {
			t.Errorf("grant %v, error %v; want the relay's", grant, err)
		}
	})
}

// On one network the picture needs no ICE servers, and does not wait for a relay that is slow.
func TestLANDoesNotWaitForTheRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := linkTo(clientAfter(t, time.Hour, true), clientAfter(t, 0, true), nil)
		synctest.Wait()
		if grant, err := l.askGrant(t.Context(), aMailbox(t)); grant != nil || err != nil {
			t.Errorf("grant %v, error %v", grant, err)
		}
		if took := time.Since(l.began); took != relayGrace {
			t.Errorf("after %v", took)
		}
	})
}

// Circuit relays are asked when the relay is away, and also when it is there and refuses the camera.
func TestCircuitRelaysAreAskedWhenTheRelayIsUseless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := linkTo(clientAfter(t, 0, false), clientAfter(t, time.Hour, true), clientAfter(t, time.Hour, true))
		l.isUp = true
		asked := make(chan error, 1)
		go func() {
			_, err := l.findByCircuit(t.Context(), []string{"no relay"}, nil)
			asked <- err
		}()

		time.Sleep(time.Minute)
		if len(asked) > 0 {
			t.Error("they were asked while the relay was there")
		}
		if _, err := l.askGrant(t.Context(), aMailbox(t)); !notAdmitted(err) {
			t.Errorf("error %v", err)
		}
		if len(asked) == 0 {
			t.Error("they were not asked")
		}
	})
}
