package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/evilcloud"
	"github.com/peephole-cam/peephole/test/signalingtest"
)

// ThroughTek Kalay, 2021 (CVE-2021-28372): anybody who knew a camera's id could register it, and the owner's app then
// took them for the camera. Here a stranger takes a camera's mailboxes before the camera does: at an honest relay, and
// at one that lets anybody in.
func TestIncidentStrangerRegistersVictimsIDFirst(t *testing.T) {
	t.Parallel()
	t.Run("honest relay", testRegisteredFirst)
	t.Run("relay that lets anybody in", testLetInFirst)
}

// forgeries returns all ways to ask for a mailbox by its public keys alone, which a relay's operator sees.
func forgeries(t *testing.T, relayURL string, nonce [32]byte, box envelope.Mailbox) map[string]signaling.Open {
	t.Helper()
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	owner := signaling.Mailbox{Read: box.Read, Write: box.Write}
	asOwner := func(f signaling.Open) signaling.Open {
		f.ReadKey, f.WriteKey = box.Read.Public().(ed25519.PublicKey), box.Write.Public().(ed25519.PublicKey)
		return f
	}
	var other [32]byte
	rand.Read(other[:])
	write := signaling.SignOpen(relayURL, nonce, owner, signaling.Write)
	write.Access = signaling.Read
	nobody := signaling.SignOpen(relayURL, nonce, owner, signaling.Read)
	nobody.Signature = make([]byte, ed25519.SignatureSize)

	return map[string]signaling.Open{
		"no signature": nobody,
		"the stranger's signature": asOwner(signaling.SignOpen(relayURL, nonce,
			signaling.Mailbox{Read: own, Write: own}, signaling.Read)),
		"the camera's of another connection": signaling.SignOpen(relayURL, other, owner, signaling.Read),
		"the camera's for another relay": signaling.SignOpen("https://relay.example", nonce, owner,
			signaling.Read),
		"the camera's for writing":            write,
		"the camera's with one key exchanged": withReadKey(asOwner(nobody), own),
		"the camera's for reading, for writing": withAccess(signaling.SignOpen(relayURL, nonce, owner, signaling.Read),
			signaling.Write),
	}
}

// withReadKey names another read key and signs with it: the name is then another mailbox's.
func withReadKey(f signaling.Open, own ed25519.PrivateKey) signaling.Open {
	f.ReadKey = own.Public().(ed25519.PublicKey)
	return f
}

func withAccess(f signaling.Open, a signaling.Access) signaling.Open {
	f.Access = a
	return f
}

func testRegisteredFirst(t *testing.T) {
	cloud := startRelay(t)
	url := cloud.URLs()[0]
	camera := startCamera(t, cloud, "front door", 0)
	v := pair(t, camera)
	camera.stop()

	// a relay that knows nobody: the stranger comes first
	if err := cloud.Restart(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	owner := signalingtest.Dial(t, url, "127.0.0.3")
	var strangers []*signalingtest.Client

	for _, box := range mailboxesOf(t, v) {
		stranger := signalingtest.Dial(t, url, "127.0.0.2") // an eighth forgery ends a connection
		strangers = append(strangers, stranger)
		for name, forged := range forgeries(t, url, stranger.Nonce, box) {
			answer, ok := stranger.Ask(forged).(signaling.Refused)
			if !ok || answer.Code != signaling.CodeSignature {
				t.Errorf("%s: %+v, want a refusal", name, answer)
			}
		}

		// With the key in hand the same request is granted: the key counts, not who came first.
		if answer := owner.Ask(signaling.SignOpen(url, owner.Nonce, signaling.Mailbox{Read: box.Read, Write: box.Write},
			signaling.Read)); answer != (signaling.OK{}) {
			t.Fatalf("with the true key: %+v: the test proves nothing", answer)
		}
	}

	again := runCamera(t, url, "front door", 0, camera.state)
	person := beginWatch(t, v, "front door", again.Mark, false)
	person.sees(t, 10)
	person.stop()
	person.sawOwn(t, "the owner")
	if f, ok := owner.Next().(signaling.Deliver); !ok || len(f.Body) < 1000 {
		t.Fatalf("with the true key %T was delivered: the test proves nothing", f)
	}

	// Anything delivered to the stranger would come before the answer to this.
	for _, stranger := range strangers {
		if f, ok := stranger.Ask(signaling.GrantRequest{ID: 7}).(signaling.Refused); !ok || f.ID != 7 ||
			stranger.Delivered != 0 {
			t.Errorf("%d messages were delivered to the stranger", stranger.Delivered)
		}
	}
}

// testLetInFirst: the relay believes a stranger who was there first, and gives the stranger the camera's messages.
func testLetInFirst(t *testing.T) {
	c := startCloud(t, evilcloud.Config{Middle: true, Remember: 4096})
	camera, theirs := startCamera(t, c, "front door", 0), startCamera(t, c, "stranger's", 1)
	v, accomplice := pair(t, camera), pair(t, theirs)
	n := len(c.Posted())
	own := beginWatch(t, accomplice, "stranger's", theirs.Mark, false)
	own.sees(t, 1)
	own.stop()
	camera.stop()
	r := &believer{answers: [][]byte{c.Posted()[n+1].Body, forgedAnswer(t, record(t, v.state).Self.Bundle())}}
	c.SetFrames(r.frames)
	stranger := signalingtest.Dial(t, c.URLs()[0], "127.0.0.2")

	for _, box := range mailboxesOf(t, v) {
		forged := unsigned(c.URLs()[0], signaling.Mailbox{Read: box.Read, Write: box.Write}, signaling.Read)
		if answer := stranger.Ask(forged); answer != (signaling.OK{}) {
			t.Fatalf("%+v: the relay does not believe the stranger, the test proves nothing", answer)
		}
	}

	runCamera(t, c.URLs()[0], "front door", 0, camera.state) // the camera comes second
	person := beginWatch(t, v, "front door", camera.Mark, false)
	awaitFault(t, "the person reads of the impostor", func() bool {
		return person.report().rejected > len(r.answers)
	})
	person.stop()
	person.sawNothing(t, "the owner")

	got, ok := stranger.Next().(signaling.Deliver)
	if !ok || len(got.Body) < 4000 {
		t.Fatalf("the stranger got %d bytes: the test proves nothing", len(got.Body))
	}
	loot := &tape{}
	_, _ = loot.Write(got.Body) // to memory
	if found := loot.find(append([]string{"front door", camera.Mark}, sdpWords...)); len(found) > 0 {
		t.Errorf("what the stranger got says %q", found)
	}

	// The stranger's own camera tries to open it, and then something that it can open: mailboxes deliver in order.
	n = len(c.Posted())
	c.Deliver(inboxesOf(t, accomplice)[0], got.Body)
	own = beginWatch(t, accomplice, "stranger's", theirs.Mark, false)
	own.sees(t, 1)
	own.stop()
	if answers := unasked(c.Posted()[n:], inboxesOf(t, accomplice)); answers != 0 {
		t.Errorf("%d answers more than the stranger's own offers were posted", answers)
	}

	c.Heal()
	again := beginWatch(t, v, "front door", camera.Mark, false)
	again.sees(t, 10)
	again.stop()
	again.sawOwn(t, "the owner after the fault")
}

// believer is a relay that asks nobody for a key: a client that names a mailbox without a signature has it from then
// on. It also tells viewers whatever the stranger would.
type believer struct {
	answers [][]byte // in the camera's place

	mu       sync.Mutex
	believed map[signaling.Name]*evilcloud.Line // guarded by mu
}

func (r *believer) frames(l *evilcloud.Line, f signaling.Frame, fromRelay bool) (said []evilcloud.Said) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch f := f.(type) {
	case signaling.Open:
		if bytes.Equal(f.Signature, unsignature) {
			if r.believed == nil {
				r.believed = make(map[signaling.Name]*evilcloud.Line)
			}
			r.believed[signaling.NameOf(f.ReadKey, f.WriteKey)] = l
			return []evilcloud.Said{{Line: l, ToClient: true, Frame: signaling.OK{ID: f.ID}}}
		}
	case signaling.Post:
		stranger := r.believed[f.Name]
		if stranger == nil {
			break
		}
		said = []evilcloud.Said{{
			Line:     stranger,
			ToClient: true,
			Frame:    signaling.Deliver{Name: f.Name, Body: f.Body},
		}, {Line: l, ToClient: true, Frame: signaling.OK{ID: f.ID}}}

		reads := l.Reads() // the viewer waits at the last of them
		for _, answer := range append([][]byte{f.Body}, r.answers...) {
			said = append(said, evilcloud.Said{
				Line:     l,
				ToClient: true,
				Frame:    signaling.Deliver{Name: reads[len(reads)-1], Body: answer},
			})
		}

		return said
	}

	return []evilcloud.Said{{Line: l, ToClient: fromRelay, Frame: f}}
}

// forgedAnswer returns an answer to a viewer whose public keys are known, by somebody who is not paired with it.
func forgedAnswer(t *testing.T, viewer identity.Bundle) []byte {
	t.Helper()
	self, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	pair := &envelope.Pair{
		Self:          self,
		Role:          identity.Camera,
		Peer:          viewer,
		Secret:        envelope.Secret(secret(t)),
		MailboxSecret: envelope.Secret(secret(t)),
	}

	id, now := envelope.SessionID(secret(t)[:16]), time.Now()
	sealed, err := pair.Seal(pair.SessionMailbox(envelope.ToViewer, id),
		envelope.Message{
			Session: id,
			Type:    envelope.TypeAnswer,
			Sent:    now,
			Expiry:  now.Add(time.Minute),
			Body:    []byte("{}"),
		})
	if err != nil {
		t.Fatal(err)
	}
	return sealed.Wire
}
