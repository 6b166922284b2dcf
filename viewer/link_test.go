package viewer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/test/bubble"
)

// pipeRelay is a relay, and its client, which reaches it over a pipe.
type pipeRelay struct {
	client *signaling.Client
	accept chan net.Conn
	gone   chan struct{}
	dials  atomic.Int32
}

// lossyPipe loses what is written once it is lost.
type lossyPipe struct {
	net.Conn
	lost *atomic.Bool
}

func (p lossyPipe) Write(b []byte) (int, error) {
	if p.lost.Load() {
		return len(b), nil
	}
	return p.Conn.Write(b)
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
func (r *pipeRelay) Grant(string, signaling.Name, string, time.Time) (signaling.Grant, error) {
	return signaling.Grant{URLs: []string{"turn:192.0.2.1"}}, nil
}

// clientAfter returns a client of a new relay, which it reaches after some time. If the relay knows no camera, it wants
// tickets and nobody has one.
func clientAfter(t *testing.T, delay time.Duration, knows bool) *signaling.Client {
	t.Helper()
	return relayAfter(t, delay, knows, new(atomic.Bool)).client
}

// relayAfter is clientAfter. The connections that are there when lost is set go silent.
func relayAfter(t *testing.T, delay time.Duration, knows bool, lost *atomic.Bool) *pipeRelay {
	t.Helper()
	r := startPipeRelay(t, knows)
	var err error
	r.client, err = signaling.NewClient(signaling.ClientConfig{Dial: r.dialAfter(delay, lost)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.client.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return r
}

// startPipeRelay starts a relay. If it knows no camera, it wants tickets and nobody has one.
func startPipeRelay(t *testing.T, knows bool) *pipeRelay {
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
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	running.Go(func() { _ = http.Serve(r) })
	t.Cleanup(func() {
		cancel()
		close(r.gone)
		http.Close()
		running.Wait()
	})
	return r
}

// dialAfter returns how a client reaches the relay: after some time.
func (r *pipeRelay) dialAfter(delay time.Duration, lost *atomic.Bool) func(context.Context) (net.Conn, string, error) {
	return func(ctx context.Context) (net.Conn, string, error) {
		ours, theirs := net.Pipe()
		select {
		case <-time.After(delay):
			lost.Store(false)
			r.dials.Add(1)
			r.accept <- theirs
			return lossyPipe{ours, lost}, "pipe", nil
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
}

func linkTo(relay, lan, circuit *signaling.Client) *link {
	l := &link{
		relay:   relay,
		lan:     lan,
		began:   time.Now(),
		changed: make(chan struct{}),
		names:   aHostList(),
		kept:    func() session.HostList { return session.HostList{} },
	}
	l.refused, l.refuse = context.WithCancel(context.Background())
	l.search = searchOf(signaling.Together(), relay)
	if circuit == nil {
		l.names.Relays = nil
	}
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
			bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
		relay, lan := clientAfter(t, 1500*time.Millisecond, true), clientAfter(t, time.Hour, true)
		l := linkTo(relay, lan, clientAfter(t, time.Second, true))
		if err := l.without[1].Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if grant, err := l.askGrant(t.Context(), aMailbox(t)); grant == nil || err != nil {
			t.Errorf("grant %v, error %v; want the relay's", grant, err)
		}
	})
}

// Nobody waits for a relay that refuses to be reached.
func TestCircuitDoesNotWaitForARelayThatIsGone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := linkTo(clientAfter(t, time.Hour, true), clientAfter(t, time.Hour, true), clientAfter(t, 0, true))
		synctest.Wait()
		l.search.observe(l.search.relays[0], errors.New("connection lost"))
		for range relayTries {
			l.search.observe(l.search.relays[0], errors.New("connection refused"))
			l.observe(errors.New("connection refused"))
		}
		if grant, err := l.askGrant(t.Context(), aMailbox(t)); grant != nil || err != nil {
			t.Errorf("grant %v, error %v", grant, err)
		}
		if took := time.Since(l.began); took > 0 {
			t.Errorf("after %v", took)
		}
	})
}

// On one network the picture needs no ICE servers, and does not wait for a relay that is slow.
func TestLANDoesNotWaitForTheRelay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
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

// When a session breaks, the connection on the LAN is doubted as the relay's is: after a power failure, camera and
// relay go together, and only the camera may be back.
func TestBrokenSessionProbesTheLAN(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		lan := relayAfter(t, 0, true, &lost)
		w := watchingOf(t, nil)
		w.link.without = []*signaling.Client{lan.client}
		synctest.Wait()
		lost.Store(true)
		w.last, w.current.err = time.Now(), session.ErrLost
		w.attemptEnded(w.current)

		time.Sleep(2 * time.Second)
		if n := lan.dials.Load(); n != 2 {
			t.Errorf("%d dials on the LAN, want one more", n)
		}
	})
}

// Circuit relays are asked when the relay is away, and also when it is there and refuses the camera.
func TestCircuitRelaysAreAskedWhenTheRelayIsUseless(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := linkTo(clientAfter(t, 0, false), clientAfter(t, time.Hour, true), clientAfter(t, time.Hour, true))
		l.isUp = true
		asked := make(chan error, 1)
		go func() {
			_, err := l.findByCircuit(t.Context())
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

// Circuit relays tell a session its addresses, unless its camera is on this network: then they do not hear of it.
func TestCircuitRelaysHearOfNoSessionOnTheLAN(t *testing.T) {
	for _, tt := range []struct {
		name   string
		lan    time.Duration // until the camera is found on this network
		relays bool
		asks   bool
	}{
		{"through a circuit relay", time.Hour, true, true},
		{"on this network", 0, true, false},
		{"no circuit relay is known", time.Hour, false, false},
	} {
		bubble.Test(t, func(t *testing.T) {
			var circuit *signaling.Client
			if tt.relays {
				circuit = clientAfter(t, 0, true)
			}
			l := linkTo(clientAfter(t, time.Hour, true), clientAfter(t, tt.lan, true), circuit)
			if tt.relays {
				l.names.Relays = []string{"/dns4/relay.example/udp/4001/quic-v1/p2p/" +
					"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"}
			}
			time.Sleep(time.Second) // the bubble's clock

			if servers := l.stunServers(); (len(servers.ServerURLs()) > 0) != tt.asks {
				t.Errorf("%s: asks %q", tt.name, servers.ServerURLs())
			}
		})
	}
}

// Two processes of one viewer may watch a camera. When one of them learns new names, it writes them to disk, and the
// other searches by them. What only this one knows, because the disk is full, is not lost.
func TestNamesThatAnotherProcessWasToldAreUsed(t *testing.T) {
	of := func(version byte) session.HostList {
		l := aHostList()
		l.Version = bytes.Repeat([]byte{version}, session.HostVersionSize)
		return l
	}
	onDisk := of(1)
	l := linkTo(nil, nil, nil)
	l.kept = func() session.HostList { return onDisk }
	now := func() byte {
		l.readNames()
		return l.hostNames().Version[0]
	}

	first := now()
	onDisk = of(2)
	other := now()
	l.setNames(of(3))
	unsaved := now()
	onDisk = session.HostList{}
	damaged := now()
	onDisk = of(4)
	if got, want := [...]byte{first, other, unsaved, damaged, now()}, [...]byte{1, 2, 3, 3, 4}; got != want {
		t.Errorf("searches by the names of versions %v, want %v", got, want)
	}
}

// Who watches when the names of the camera change, or first come, searches by them at once.
func TestNewNamesAreSearchedFor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l, searched := linkTo(nil, nil, nil), make(chan bool, 8)
		l.names = session.HostList{}
		client, err := signaling.NewClient(signaling.ClientConfig{
			Dial: func(ctx context.Context) (net.Conn, string, error) {
				_, err := l.findByCircuit(ctx)
				searched <- ctx.Err() == nil
				return nil, "", err
			},
		})
		if err != nil {
			t.Fatal(err)
		}

		l.without = []*signaling.Client{client}
		runUntilEnd(t, client.Run)
		time.Sleep(time.Minute)
		if len(searched) > 0 {
			t.Error("there was a search without a name")
		}
		l.setNames(aHostList())
		if began := <-searched; began {
			t.Error("the wait for names did not end")
		}
		if began := <-searched; !began {
			t.Error("there was no search")
		}
	})
}

// pipeListener is a pipeRelay whose connections name their ends, as those to a camera's own server do.
type pipeListener struct{ *pipeRelay }

func (l pipeListener) Accept() (net.Conn, error) {
	conn, err := l.pipeRelay.Accept()
	return namedPipe{conn}, err
}

type namedPipe struct{ net.Conn }

func (namedPipe) Origin() string { return "pipe" }

// A viewer that watches for days proves itself by the inbox of each day, since the camera closes earlier ones.
func TestProofIsRenewedEachDay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		home, err := server.New(server.Config{
			Private: true,
			Bus:     bus.NewLocal(),
			Logger:  slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		camera, err := signaling.NewClient(signaling.ClientConfig{Dial: home.Dial, InProcess: true})
		if err != nil {
			t.Fatal(err)
		}
		r := &pipeRelay{accept: make(chan net.Conn), gone: make(chan struct{})}
		runUntilEnd(t, home.Run)
		runUntilEnd(t, camera.Run)
		runUntilEnd(t, func(context.Context) error { return home.Serve(pipeListener{r}) })
		t.Cleanup(func() { close(r.gone) })

		days := []signaling.Mailbox{aMailbox(t), aMailbox(t)}
		var closing []func()
		for _, inbox := range days {
			inbox.Ticket = home.Ticket()
			closing = append(closing, camera.Keep(inbox))
		}
		synctest.Wait() // until both are admitted
		var today atomic.Int32
		p := &proof{inbox: func() signaling.Mailbox { return days[today.Load()] }}
		p.client, err = signaling.NewClient(signaling.ClientConfig{
			Dial: func(context.Context) (net.Conn, string, error) {
				ours, theirs := net.Pipe()
				r.dials.Add(1)
				p.renew()
				r.accept <- theirs
				return ours, "pipe", nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		runUntilEnd(t, p.client.Run)
		const lasting = 15 * time.Second // in a pipe, both ends' first pings, after 20 s, wait for each other
		time.Sleep(lasting)
		if n := r.dials.Load(); n != 1 {
			t.Fatalf("%d connections on the first day, want one that lasts", n)
		}

		today.Store(1)
		closing[0]()
		time.Sleep(lasting)
		if n := r.dials.Load(); n != 2 {
			t.Errorf("%d connections in all, want one more that lasts", n)
		}
	})
}
