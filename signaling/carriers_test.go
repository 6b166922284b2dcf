package signaling_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/test/bubble"
)

// way is a way to a server. Nobody gets through until it is clear.
type way struct {
	*relay
	clear chan struct{}
}

const wayOrigin = "p2p:camera/viewer"

// newWay returns a way to a server that admits everybody, or, with a key, those with a ticket.
func newWay(t *testing.T, key ed25519.PublicKey) *way {
	t.Helper()
	r, err := newRelay(server.Config{PublicURL: wayOrigin, TicketKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return &way{r, make(chan struct{})}
}

// clearWay returns a way that is clear.
func clearWay(t *testing.T, key ed25519.PublicKey) *way {
	w := newWay(t, key)
	close(w.clear)
	return w
}

// client returns a client that goes this way.
func (w *way) client(t *testing.T) *signaling.Client {
	return runOther(t, signaling.ClientConfig{Dial: func(ctx context.Context) (net.Conn, string, error) {
		select {
		case <-w.clear:
			return w.dialing(wayOrigin)(ctx)
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}})
}

// together returns a device with several ways.
func together(t *testing.T, ways ...*way) *signaling.Carriers {
	var list []signaling.Carrier
	for i, w := range ways {
		list = append(list, signaling.Carrier{Name: fmt.Sprint("way ", i), Client: w.client(t)})
	}
	c := signaling.Together(list...)
	t.Cleanup(c.Close)
	synctest.Wait() // until those are connected that can be
	return c
}

// issuer returns an operator's key, and a ticket of that operator.
func issuer(t *testing.T) (key ed25519.PublicKey, ticket []byte) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, signaling.Ticket{NotAfter: time.Now().Add(time.Hour), Mailboxes: 10}.Issue(private)
}

// listenTo returns what arrives in a mailbox.
func listenTo(c interface {
	Receive(signaling.Mailbox, func(signaling.Delivery) bool) func()
}, mb signaling.Mailbox) chan signaling.Delivery {
	got := make(chan signaling.Delivery, 1000)
	c.Receive(mb, func(d signaling.Delivery) bool { got <- d; return true })
	return got
}

func wantCode(t *testing.T, err error, code signaling.Code) {
	t.Helper()
	var refusal *signaling.Error
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Errorf("error %v, want code %d", err, code)
	}
}

func TestFirstCarrierThatWorksWins(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		blocked, open, mb := newWay(t, nil), clearWay(t, nil), randomMailbox(t)
		viewer, camera := together(t, blocked, open), together(t, blocked, open)
		got := listenTo(camera, mb)

		begin := time.Now()
		if err := viewer.Send(t.Context(), mb, []byte("offer"), time.Minute); err != nil {
			t.Fatal(err)
		}
		d := <-got
		if string(d.Body) != "offer" || d.Carrier != "way 1" || time.Since(begin) > 0 {
			t.Errorf("got %q by %q after %v", d.Body, d.Carrier, time.Since(begin))
		}
	})
}

// Every carrier that works brings a copy, one at a time.
func TestCopiesArriveOneAtATime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ways := []*way{clearWay(t, nil), clearWay(t, nil), clearWay(t, nil)}
		viewer, camera, mb := together(t, ways...), together(t, ways...), randomMailbox(t)

		var handling atomic.Int32
		by := make(chan string, 10)
		stop := camera.Receive(mb, func(d signaling.Delivery) bool {
			if n := handling.Add(1); n > 1 {
				t.Errorf("%d deliveries at the same time", n)
			}
			for range 100 {
				runtime.Gosched()
			}
			handling.Add(-1)
			by <- d.Carrier
			return true
		})
		if err := viewer.Send(t.Context(), mb, []byte("offer"), time.Minute); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{<-by: true, <-by: true, <-by: true}
		if len(seen) != len(ways) {
			t.Errorf("copies by %v", seen)
		}

		stop()
		if err := viewer.Send(t.Context(), mb, []byte("later"), 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(by) > 0 {
			t.Error("a delivery after stop")
		}
	})
}

// A caller that is content with the first carrier, and ends its context, must not keep the others from sending.
func TestOtherCarriersGoOnInTheBackground(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		late, open, mb := newWay(t, nil), clearWay(t, nil), randomMailbox(t)
		viewer := together(t, late, open)
		ctx, cancel := context.WithCancel(t.Context())
		if err := viewer.Send(ctx, mb, []byte("offer"), time.Minute); err != nil {
			t.Fatal(err)
		}
		queue := make(chan signaling.Outgoing, 1)
		queue <- signaling.Outgoing{Body: []byte("bye")}
		close(queue)
		if err := viewer.SendAll(ctx, mb, queue, time.Minute, func(err error) { t.Error(err) }); err != nil {
			t.Fatal(err)
		}
		cancel()

		time.Sleep(20 * time.Second) // of the bubble
		close(late.clear)
		got := listenTo(late.client(t), mb)
		for range 2 {
			if s := string((<-got).Body); s != "offer" && s != "bye" {
				t.Errorf("got %q", s)
			}
		}
	})
}

// Once its life is over, a message is not sent any more.
func TestBackgroundEndsWithTheMessage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		late, open, mb := newWay(t, nil), clearWay(t, nil), randomMailbox(t)
		viewer := together(t, late, open)
		if err := viewer.Send(t.Context(), mb, []byte("offer"), time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second) // of the bubble
		close(late.clear)
		got := listenTo(late.client(t), mb)
		time.Sleep(time.Minute)
		if len(got) > 0 {
			t.Error("an offer that nobody waits for was sent")
		}
	})
}

func TestRefusalWaitsAMomentForOtherCarriers(t *testing.T) {
	for what, wait := range map[string]time.Duration{"soon": 200 * time.Millisecond, "late": 400 * time.Millisecond} {
		t.Run(what, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				key, _ := issuer(t)
				refusing, other, mb := clearWay(t, key), newWay(t, nil), randomMailbox(t)
				viewer := together(t, refusing, other)
				time.AfterFunc(wait, func() { close(other.clear) })

				begin := time.Now()
				err := viewer.Send(t.Context(), mb, []byte("offer"), time.Minute)
				if what == "soon" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				wantCode(t, err, signaling.CodeNotAdmitted)
				if d := time.Since(begin); d != 300*time.Millisecond {
					t.Errorf("refused after %v", d)
				}
				got := listenTo(other.client(t), mb)
				time.Sleep(time.Minute)
				if len(got) > 0 {
					t.Error("a message was sent although Send has failed")
				}
			})
		})
	}
}

func TestRefusalByAllCarriersComesAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		key, _ := issuer(t)
		viewer, begin := together(t, clearWay(t, key), clearWay(t, key)), time.Now()
		wantCode(t, viewer.Send(t.Context(), randomMailbox(t), []byte("offer"), 0), signaling.CodeNotAdmitted)
		if d := time.Since(begin); d > 0 {
			t.Errorf("refused after %v", d)
		}
	})
}

func TestSendOnNoCarrierSaysWhy(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		viewer := together(t, newWay(t, nil), newWay(t, nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := viewer.Send(ctx, randomMailbox(t), []byte("offer"), time.Minute)
		if err == nil || !strings.Contains(err.Error(), "cannot reach the camera on this network: no answer") {
			t.Errorf("error %v", err)
		}
	})
}

// A carrier that is away holds up no other, however much is sent. When it is back, it has the newest messages.
func TestCarrierThatIsAwayHoldsUpNoOther(t *testing.T) {
	const messages, inHand = 500, 100
	bubble.Test(t, func(t *testing.T) {
		away, open, mb := newWay(t, nil), clearWay(t, nil), randomMailbox(t)
		camera := together(t, away, open)
		got := listenTo(open.client(t), mb)

		queue, done := make(chan signaling.Outgoing), make(chan error, 1)
		go func() { done <- camera.SendAll(t.Context(), mb, queue, time.Minute, func(err error) { t.Error(err) }) }()
		for i := range messages {
			queue <- signaling.Outgoing{Body: fmt.Append(nil, i)}
			if i < inHand {
				continue // the server keeps so many for a reader
			}
			if s := string((<-got).Body); s != fmt.Sprint(i-inHand) {
				t.Fatalf("got %s, want %d", s, i-inHand)
			}
		}

		close(away.clear)
		late := listenTo(away.client(t), mb)
		synctest.Wait()
		time.Sleep(time.Second) // of the bubble
		if n := len(late); n < 64 || n > 66 {
			t.Errorf("%d messages by the carrier that was away", n)
		}
		var last string
		for len(late) > 0 {
			last = string((<-late).Body)
		}
		if last != fmt.Sprint(messages-1) {
			t.Errorf("the last message is %s", last)
		}
		close(queue)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestMessageThatIsLateIsDroppedByTheCarrierThatWasAway(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		away, open, mb := newWay(t, nil), clearWay(t, nil), randomMailbox(t)
		camera := together(t, away, open)
		queue := make(chan signaling.Outgoing, 2)
		queue <- signaling.Outgoing{Body: []byte("short"), Until: time.Now().Add(5 * time.Second)}
		queue <- signaling.Outgoing{Body: []byte("long"), Until: time.Now().Add(time.Minute)}
		close(queue)
		if err := camera.SendAll(t.Context(), mb, queue, time.Minute, func(err error) { t.Error(err) }); err != nil {
			t.Fatal(err)
		}

		time.Sleep(10 * time.Second) // of the bubble
		close(away.clear)
		got := listenTo(away.client(t), mb)
		if s := string((<-got).Body); s != "long" {
			t.Errorf("got %q", s)
		}
	})
}

// Only what no carrier has accepted counts as refused.
func TestSendAllIsRefusedOnlyByAll(t *testing.T) {
	for what, refusals := range map[string]int{"one accepts": 0, "all refuse": 3, "the other is away": 3} {
		t.Run(what, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				key, _ := issuer(t)
				other := map[string]*way{
					"one accepts":       clearWay(t, nil),
					"all refuse":        clearWay(t, key),
					"the other is away": newWay(t, nil),
				}[what]
				camera := together(t, clearWay(t, key), other)

				queue := make(chan signaling.Outgoing, 3)
				for range 3 {
					queue <- signaling.Outgoing{Body: []byte("x")}
				}
				close(queue)
				refused := 0
				err := camera.SendAll(t.Context(), randomMailbox(t), queue, time.Minute, func(err error) {
					wantCode(t, err, signaling.CodeNotAdmitted)
					refused++
				})
				if err != nil || refused != refusals {
					t.Errorf("%v, %d refused, want %d", err, refused, refusals)
				}
			})
		})
	}
}

func TestSendAllEndsWithItsContext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		camera := together(t, newWay(t, nil), newWay(t, nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		queue := make(chan signaling.Outgoing, 1)
		queue <- signaling.Outgoing{Body: []byte("x")}
		close(queue)
		err := camera.SendAll(ctx, randomMailbox(t), queue, time.Minute, nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// camera returns a camera's carriers: a relay, for which it has a ticket, and its own server.
func camera(t *testing.T, relay *way) (c *signaling.Carriers, own *server.Server) {
	t.Helper()
	own, ownClient := privateServer(t)
	c = signaling.Together(
		signaling.Carrier{Name: "relay", Client: relay.client(t)},
		signaling.Carrier{Name: "own", Client: ownClient, Ticket: own.Ticket()},
	)
	t.Cleanup(c.Close)
	synctest.Wait()
	return c, own
}

// A camera admits its mailboxes at the relay by the relay's ticket and at its own server by its own, and rendezvous
// only at the relay.
func TestEveryCarrierGetsItsOwnTicket(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		key, ticket := issuer(t)
		c, own := camera(t, clearWay(t, key))
		mb, pairing := randomMailbox(t), randomMailbox(t)
		mb.Ticket = ticket
		defer c.Keep(mb)()
		got := listenTo(c, signaling.Rendezvous(pairing.Read, pairing.Write))
		synctest.Wait()
		if n := own.Stats.Mailboxes.Load(); n != 1 || own.Stats.Refused.Load() != 0 {
			t.Errorf("%d mailboxes at the camera's own server, %d refused", n, own.Stats.Refused.Load())
		}

		ctx := t.Context()
		rendezvous := signaling.Rendezvous(pairing.Read, pairing.Write)
		for _, to := range []signaling.Mailbox{mb, rendezvous} {
			if err := c.Send(ctx, to, []byte("hello"), time.Minute); err != nil {
				t.Error(err)
			}
		}
		if d := <-got; d.Carrier != "relay" {
			t.Errorf("the pairing came by %q", d.Carrier)
		}
	})
}

// A viewer is removed at the camera's own server at once, and at a relay that is away once it is back.
func TestRevocationReachesTheRelayLater(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		key, ticket := issuer(t)
		relay := newWay(t, key)
		c, own := camera(t, relay)
		mb := randomMailbox(t)
		mb.Ticket = ticket
		stop := c.Keep(mb)
		synctest.Wait()

		begin := time.Now()
		if err := c.Revoke(t.Context(), mb); err != nil {
			t.Error(err)
		}
		stop()
		synctest.Wait()
		if n := own.Stats.Mailboxes.Load(); n != 0 || time.Since(begin) > time.Second {
			t.Errorf("%d mailboxes are left after %v", n, time.Since(begin))
		}

		time.Sleep(time.Hour) // of the bubble
		close(relay.clear)
		time.Sleep(time.Minute)
		stranger := relay.client(t)
		mb.Ticket = nil
		wantCode(t, stranger.Send(t.Context(), mb, []byte("x"), 0), signaling.CodeNotAdmitted)
	})
}

// Close gives what is under way a second, and ends it then.
func TestCloseDoesNotWaitForACarrierThatIsAway(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		device, mb := together(t, newWay(t, nil), clearWay(t, nil)), randomMailbox(t)
		if err := device.Send(t.Context(), mb, []byte("offer"), time.Minute); err != nil {
			t.Fatal(err)
		}
		queue := make(chan signaling.Outgoing, 1)
		queue <- signaling.Outgoing{Body: []byte("candidate")}
		close(queue)
		if err := device.SendAll(t.Context(), mb, queue, time.Minute, func(error) {}); err != nil {
			t.Fatal(err)
		}

		begin := time.Now()
		device.Close()
		if took := time.Since(begin); took > 0 {
			t.Errorf("closing took %v", took)
		}
	})
}

// muted is a connection whose other end hears nothing more once mute is closed.
type muted struct {
	net.Conn
	mute chan struct{}
}

func (m muted) Write(b []byte) (int, error) {
	select {
	case <-m.mute:
		return len(b), nil
	default:
		return m.Conn.Write(b)
	}
}

func TestCloseEndsTheBackground(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		silent, mute := clearWay(t, nil), make(chan struct{})
		client := runOther(t, signaling.ClientConfig{Dial: func(ctx context.Context) (net.Conn, string, error) {
			conn, origin, err := silent.dialing(wayOrigin)(ctx)
			return muted{conn, mute}, origin, err
		}})
		c := signaling.Together(
			signaling.Carrier{Name: "silent", Client: client},
			signaling.Carrier{Name: "good", Client: clearWay(t, nil).client(t)},
		)
		synctest.Wait()
		close(mute)

		for range 200 {
			if err := c.Send(t.Context(), randomMailbox(t), []byte("x"), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		c.Close()
		if d := time.Since(begin); d != time.Second {
			t.Errorf("closed after %v", d)
		}
	})
}

// privateServer runs a camera's own server, and the camera's client of it.
func privateServer(t *testing.T) (*server.Server, *signaling.Client) {
	t.Helper()
	s, err := newPrivate()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return s, runOther(t, signaling.ClientConfig{Dial: s.Dial, InProcess: true})
}

// A carrier that joins a route gets what the others got, the same bytes, as far as it still lives.
func TestCarrierThatJoinsSendsTheSameBytes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		home, standby, mb := clearWay(t, nil), clearWay(t, nil), randomMailbox(t)
		camera := together(t, home, standby)
		got := listenTo(standby.client(t), mb)
		route := camera.Only("way 0")
		queue, done := make(chan signaling.Outgoing, 3), make(chan error, 1)
		queue <- signaling.Outgoing{Body: []byte("late"), Until: time.Now().Add(time.Second)}
		queue <- signaling.Outgoing{Body: []byte("answer"), Until: time.Now().Add(time.Minute)}
		go func() { done <- route.SendAll(t.Context(), mb, queue, time.Minute, func(err error) { t.Error(err) }) }()
		if err := route.Send(t.Context(), mb, []byte("refusal"), 30*time.Second); err != nil {
			t.Fatal(err)
		}

		time.Sleep(5 * time.Second) // of the bubble
		if len(got) > 0 {
			t.Fatalf("%q went by a carrier that has not joined", (<-got).Body)
		}
		route.Join("way 1")
		route.Join("way 1")
		route.Join("nobody")
		queue <- signaling.Outgoing{Body: []byte("candidate")}
		close(queue)
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		var bodies []string
		for len(got) > 0 {
			bodies = append(bodies, string((<-got).Body))
		}
		slices.Sort(bodies)
		if want := []string{"answer", "candidate", "refusal"}; !slices.Equal(bodies, want) {
			t.Errorf("%q by the carrier that joined, want %q", bodies, want)
		}
	})
}

// After its life, nothing is sent by a carrier that joins.
func TestCarrierThatJoinsLateSendsNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		home, standby, mb := clearWay(t, nil), clearWay(t, nil), randomMailbox(t)
		camera := together(t, home, standby)
		got := listenTo(standby.client(t), mb)
		route := camera.Only("way 0")
		if err := route.Send(t.Context(), mb, []byte("refusal"), 30*time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		route.Join("way 1")
		time.Sleep(time.Minute)
		if len(got) > 0 {
			t.Errorf("%q", (<-got).Body)
		}
	})
}

// What is open on a route is opened on what joins it, until it is closed or the carrier is removed.
func TestCarrierThatJoinsReceives(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		home, standby, mb := clearWay(t, nil), clearWay(t, nil), randomMailbox(t)
		camera := together(t, home)
		got := listenTo(camera, mb)
		other := standby.client(t)
		send := func(text string) {
			if err := other.Send(t.Context(), mb, []byte(text), time.Minute); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		send("before")
		if len(got) > 0 {
			t.Fatal("received by a carrier that has not joined")
		}
		camera.Add(signaling.Carrier{Name: "standby", Client: standby.client(t)})
		synctest.Wait()
		send("after")
		for _, want := range []string{"before", "after"} {
			if d := <-got; string(d.Body) != want || d.Carrier != "standby" {
				t.Errorf("%q by %q, want %q", d.Body, d.Carrier, want)
			}
		}

		camera.Remove("standby")
		camera.Remove("standby")
		synctest.Wait()
		send("removed")
		if len(got) > 0 {
			t.Error("received by a carrier that was removed")
		}
	})
}

// A carrier that is removed holds up nothing that waited for it.
func TestRemovedCarrierHoldsUpNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		camera, mb := together(t, newWay(t, nil)), randomMailbox(t)
		queue := make(chan signaling.Outgoing, 2)
		queue <- signaling.Outgoing{Body: []byte("a")}
		queue <- signaling.Outgoing{Body: []byte("b")}
		close(queue)
		done := make(chan error, 2)
		go func() { done <- camera.SendAll(t.Context(), mb, queue, time.Minute, func(error) {}) }()
		go func() { done <- camera.Send(t.Context(), mb, []byte("c"), time.Minute) }()
		synctest.Wait()
		camera.Remove("way 0")
		for range 2 {
			<-done
		}
	})
}
