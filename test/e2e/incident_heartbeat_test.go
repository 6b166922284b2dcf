package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/evilcloud"
	"github.com/peephole-cam/peephole/test/signalingtest"
)

// iLnkP2P, 2019 (CVE-2019-11220): a server sent a camera's owner to whoever had last sent a heartbeat in the camera's
// name. Here a stranger at another address sends heartbeats, registrations and refreshes in the camera's name for as
// long as its owner watches.
func TestIncidentHeartbeatTakeover(t *testing.T) {
	t.Parallel()
	c := startRelay(t)
	front := startTURNFront(t, c)
	camera := startCamera(t, c, "front door", 0)
	v := pair(t, camera)
	person := beginWatch(t, v, "front door", camera.Mark, true)
	person.sees(t, 10)
	victims := front.allocated()
	t.Run("mailbox, without its key", func(t *testing.T) { takeMailbox(t, c.URLs()[0], camera, v) })
	t.Run("mailbox, with its key", func(t *testing.T) { shareMailbox(t, c.URLs()[0], camera, v) })
	t.Run("TURN allocations", func(t *testing.T) { takeAllocations(t, c, front, victims, person) })
	person.sees(t, 10)
	person.stop()
	person.sawOwn(t, "the owner")
	if r := person.report(); r.sessions != 1 || r.rejected != 0 {
		t.Errorf("the owner had %d sessions and read %d times about a stranger; want one session, undisturbed",
			r.sessions, r.rejected)
	}
}

// takeMailbox: a stranger without the key is refused each time, gets nothing, and disturbs nobody.
func takeMailbox(t *testing.T, url string, camera *household, v watcher) {
	boxes := mailboxesOf(t, v)
	tries, delivered := 0, 0
	claim := func() {
		for _, box := range boxes {
			stranger := signalingtest.Dial(t, url, "127.0.0.2") // an eighth forgery ends a connection
			if err := stranger.Beat(); err != nil {
				t.Errorf("heartbeat: %v", err)
			}
			for name, forged := range forgeries(t, url, stranger.Nonce, box) {
				if f, ok := stranger.Ask(forged).(signaling.Refused); !ok || f.Code != signaling.CodeSignature {
					t.Errorf("%s: %+v, want a refusal", name, f)
				}
				tries++
			}

			for _, f := range []signaling.Frame{signaling.Ack{Name: box.Name}, signaling.Reject{Name: box.Name},
				signaling.Close{Name: box.Name}} {
				stranger.Say(f)
			}
			if f, ok := stranger.Ask(signaling.Post{
				ID:   1,
				Name: box.Name,
				TTL:  60,
				Body: []byte("here I am"),
			}).(signaling.Refused); !ok || f.Code != signaling.CodeNotOpened {
				t.Errorf("post: %+v, want a refusal", f)
			}
			delivered += stranger.Delivered
		}
	}

	for range 3 { // while new sessions start
		claim()
		another := beginWatch(t, v, "front door", camera.Mark, false)
		for another.report().shown < 5 && !t.Failed() && another.running() {
			claim()
		}

		another.sees(t, 5)
		another.stop()
		another.sawOwn(t, "the owner's second window")
	}

	if tries < 20 || delivered != 0 {
		t.Errorf("%d messages were delivered to a stranger who claimed the mailbox %d times", delivered, tries)
	}
}

// shareMailbox: even somebody with the key takes nothing away from the camera, which gets all its messages and is the
// only one to answer.
func shareMailbox(t *testing.T, url string, camera *household, v watcher) {
	box := mailboxesOf(t, v)[0]
	mb := signaling.Mailbox{Read: box.Read, Write: box.Write}
	holder := signalingtest.Dial(t, url, "127.0.0.2")
	if answer := holder.Ask(signaling.SignOpen(url, holder.Nonce, mb, signaling.Read)); answer != (signaling.OK{}) {
		t.Fatalf("with the key: %+v: the test proves nothing", answer)
	}

	another := beginWatch(t, v, "front door", camera.Mark, false)
	copied, ok := holder.Next().(signaling.Deliver)
	if !ok || copied.Name != signaling.Name(box.Name) || len(copied.Body) < 4000 {
		t.Fatalf("%d bytes were delivered to the holder of the key: the test proves nothing", len(copied.Body))
	}
	holder.Say(signaling.Ack{Name: copied.Name, Seq: copied.Seq}) // and deletes it
	another.sees(t, 5)
	another.stop()
	another.sawOwn(t, "the owner's second window")

	// A mailbox's key opens no message in it.
	holdersOwn, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	pair := record(t, v.state)

	p := envelope.Pair{
		Self:          holdersOwn,
		Role:          identity.Camera,
		Peer:          pair.Self.Bundle(),
		Secret:        envelope.Secret(secret(t)),
		MailboxSecret: pair.MailboxSecret,
	}

	if _, err := p.Open(p.Mailbox(envelope.ToCamera, p.Day(time.Now())), copied.Body, time.Now()); !errors.Is(err,
		envelope.ErrNotForUs) {
		t.Errorf("open an offer with the key of its mailbox: %v, want %v", err, envelope.ErrNotForUs)
	}
}

// takeAllocations: requests in the name of both ends' TURN allocations, from another address and from their own, are
// refused without the password.
func takeAllocations(t *testing.T, c *evilcloud.Cloud, front *turnFront, victims []*turnClient, person *witness) {
	if len(victims) != 2 {
		t.Fatalf("%d allocations: the test proves nothing", len(victims))
	}
	stranger := dialTURN(t, front.at(), "127.0.0.2")
	before := front.refusals(stun.CodeUnauthorized)
	for _, victim := range victims {
		forged := signaling.Credentials{Username: victim.name, Credential: "guessed"}
		peer := stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: victim.relayed}
		for name, method := range map[string]stun.Method{"allocate": stun.MethodAllocate,
			"refresh": stun.MethodRefresh} {
			end := stranger.request(method, forged, wantUDP, lifetime(0), peer)
			if m := stranger.exchange(end); errorOf(m) == 0 {
				t.Errorf("%s from elsewhere: %v, want an error", name, m)
			}
			if err := front.inject(victim, end.Raw); err != nil { // on the path, from the victim's own address
				t.Fatal(err)
			}
		}

		if err := front.inject(victim,
			stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest),
				lifetime(0)).Raw); err != nil {
			t.Fatal(err)
		}
	}

	person.sees(t, 10)
	if n := front.refusals(stun.CodeUnauthorized) - before; n < 3*len(victims) {
		t.Errorf("%d requests were refused for their password: the test proves nothing", n)
	}

	// With a password, the same request ends an allocation: the stranger's own.
	grant := granted(t, c, time.Now())
	for _, tt := range []struct {
		name   string
		method stun.Method
		what   stun.Setter
		want   stun.ErrorCode
	}{
		{"allocate", stun.MethodAllocate, wantUDP, 0}, {"end", stun.MethodRefresh, lifetime(0), 0},
		{"end again", stun.MethodRefresh, lifetime(0), stun.CodeAllocMismatch},
	} {
		if m := stranger.ask(tt.method, grant.Viewer, tt.what); errorOf(m) != tt.want {
			t.Errorf("%s, with a password: %v, want error %d: the test proves nothing", tt.name, m, tt.want)
		}
	}
}
