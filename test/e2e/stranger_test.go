package e2e

import (
	"crypto/hpke"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// A stranger who is not paired gets no answer out of a camera, not even with all the relay's help: neither with an
// identity of their own, the camera's true public keys and the viewer's true mailbox, nor with another camera's pair.
func TestStrangerGetsNoAnswer(t *testing.T) {
	t.Parallel()
	c := startCloud(t, remembering)
	ours, theirs := startCamera(t, c, "ours", 0), startCamera(t, c, "theirs", 1)
	v := newViewer(t)
	pairWith(t, v, ours)
	stranger := newViewer(t)
	pairWith(t, stranger, theirs)
	if s, err := watch(t, v, "ours", ours.Mark, 1, patience, false); err != nil || s.frames != 1 {
		t.Fatalf("%+v, %v: the test proves nothing", s, err)
	}

	inbox := lastOffer(t, c).Name // the relay knows under which name the camera receives offers
	camera := record(t, v.state)
	other := record(t, stranger.state)

	made, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	var guessed envelope.Secret
	rand.Read(guessed[:])

	for _, tt := range []struct {
		name string
		pair *envelope.Pair
		want int // answers and refusals
	}{
		{"an identity of their own", &envelope.Pair{
			Self:          made,
			Role:          identity.Viewer,
			Peer:          camera.Peer,
			Secret:        guessed,
			MailboxSecret: guessed,
		}, 0},
		{"another camera's pair", other, 0},
		{"another camera's secrets under this camera's keys", &envelope.Pair{
			Self:          other.Self,
			Role:          identity.Viewer,
			Peer:          camera.Peer,
			Secret:        other.Secret,
			MailboxSecret: other.MailboxSecret,
		}, 0},
		{"control: the true pair is answered, with a refusal of so poor an offer", camera, 1},
	} {
		wire := offerOf(t, tt.pair)
		n := len(c.Posted())
		c.Deliver(inbox, wire)

		// A true session afterwards shows that the camera has read what came before: mailboxes deliver in order.
		if s, err := watch(t, v, "ours", ours.Mark, 1, patience, false); err != nil || s.frames != 1 {
			t.Fatalf("%s: afterwards %+v, %v", tt.name, s, err)
		}
		posted := c.Posted()[n:]
		answers, others := answersTo(posted, tt.pair, camera), unasked(posted, inboxesOf(t, v))
		if answers != tt.want || others != tt.want {
			t.Errorf("%s: %d answers and refusals were posted, %d more than the viewer's offers; want %d", tt.name,
				answers, others, tt.want)
		}
	}
}

// record reads the pair in a viewer's state directory.
func record(t *testing.T, state string) *envelope.Pair {
	t.Helper()
	self, err := identity.Load(state)
	if err != nil {
		t.Fatal(err)
	}
	records, err := pairing.NewStore(state, self, identity.Viewer).Load()
	if err != nil || len(records) != 1 {
		t.Fatalf("load pairs: %d, %v", len(records), err)
	}
	return records[0].Pair
}

// forgedSession is the session of offerOf's offers.
var forgedSession = envelope.SessionID{1}

// offerOf returns an offer that a camera of this pair would answer.
func offerOf(t *testing.T, pair *envelope.Pair) []byte {
	t.Helper()
	kem, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	body, err := json.Marshal(map[string]any{
		"sdp": "v=0\r\n", "kem": text(kem.PublicKey().Bytes()), "random": text(make([]byte, 32)),
		"challenge": text(make([]byte, 8)), "carriers": []string{"h264"},
	})
	if err != nil {
		t.Fatal(err)
	}

	now := time.Now()
	box := pair.Mailbox(envelope.ToCamera, pair.Day(now))
	sealed, err := pair.Seal(box, envelope.Message{
		Session: forgedSession,
		Type:    envelope.TypeOffer,
		Sent:    now,
		Expiry:  now.Add(time.Minute),
		Body:    body,
	})
	if err != nil {
		t.Fatal(err)
	}
	return sealed.Wire
}
