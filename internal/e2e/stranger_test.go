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

// Somebody who is not paired, and has the relay's whole help, gets no word out of a camera: not with an identity of their own
// under the camera's true public keys and the viewer's true mailbox, nor with another camera's pair.
func TestStrangerGetsNoAnswer(t *testing.T) {
	t.Parallel()
	c := startCloud(t, remembering)
	ours, theirs := startCamera(t, c, "ours", 0), startCamera(t, c, "theirs", 1)
	v := newViewer(t)
	pairWith(t, v, ours)
	stranger := newViewer(t)
	pairWith(t, stranger, theirs)
	if s, err := watch(t, v, "ours", ours.Mark, 1, 20*time.Second, false); err != nil || s.frames != 1 {
		t.Fatalf("%+v, %v: the test shows nothing", s, err)
	}
	inbox := lastOffer(t, c).Name // the relay knows under which name the camera takes offers
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
		want int // envelopes posted to the stranger's and the true session's mailboxes
	}{
		{"an identity of their own", &envelope.Pair{Self: made, Role: identity.Viewer, Peer: camera.Peer, Secret: guessed, MailboxSecret: guessed}, 2},
		{"another camera's pair", other, 2},
		{"another camera's secrets under this camera's keys", &envelope.Pair{Self: other.Self, Role: identity.Viewer, Peer: camera.Peer,
			Secret: other.Secret, MailboxSecret: other.MailboxSecret}, 2},
		{"control: the true pair is answered, with a refusal of so poor an offer", camera, 3},
	} {
		wire := offerOf(t, tt.pair)
		n := len(c.Posted())
		c.Deliver(inbox, wire)
		// A true session after it shows that the camera has taken what came before: mailboxes deliver in order.
		if s, err := watch(t, v, "ours", ours.Mark, 1, 20*time.Second, false); err != nil || s.frames != 1 {
			t.Fatalf("%s: afterwards %+v, %v", tt.name, s, err)
		}
		envelopes := 0
		for _, p := range c.Posted()[n:] {
			if len(p.Body) > 1129+512 && p.Body[0] == 1 { // records are shorter, and pieces of the first picture begin otherwise
				envelopes++
			}
		}
		if envelopes != tt.want {
			t.Errorf("%s: %d offers, answers and refusals were posted, want %d", tt.name, envelopes, tt.want)
		}
	}
}

// record is the pair in a viewer's state directory.
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

// offerOf is an offer that a camera of this pair would answer.
func offerOf(t *testing.T, pair *envelope.Pair) []byte {
	t.Helper()
	kem, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	body, err := json.Marshal(map[string]any{
		"sdp": "v=0\r\n", "kem": text(kem.PublicKey().Bytes()), "random": text(make([]byte, 32)), "challenge": text(make([]byte, 8)), "carriers": []string{"h264"},
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	box := pair.Mailbox(envelope.ToCamera, pair.Day(now))
	sealed, err := pair.Seal(box, envelope.Message{Session: envelope.SessionID{1}, Type: envelope.TypeOffer, Sent: now, Expiry: now.Add(time.Minute), Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return sealed.Wire
}
