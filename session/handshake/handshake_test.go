package handshake

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// Anyone who has seen an envelope to a viewer's session can copy its tag. The viewer tries to open envelopes with that
// tag only at a bounded rate, and still finds the answer later. Envelopes without the tag cost nothing.
func TestAnswersAreTriedAtABoundedRate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ours, theirs := sessiontest.Pair(t)
		h, err := NewOfferer(theirs, nil)
		if err != nil {
			t.Fatal(err)
		}
		seal := func(text string) []byte {
			now := time.Now()
			sealed, err := ours.Seal(h.in, envelope.Message{
				Session: h.id,
				Type:    envelope.TypeRefuse,
				Sent:    now,
				Expiry:  now.Add(time.Minute),
				Body:    []byte(text),
			})
			if err != nil {
				t.Fatal(err)
			}
			return sealed.Wire
		}

		copied := bytes.Clone(seal("{}"))
		copied[len(copied)-1] ^= 1
		untagged := bytes.Clone(copied)
		untagged[1] ^= 1

		for range 10 * maxTries {
			if _, err := h.readReply(untagged); !errors.Is(err, envelope.ErrNotForUs) {
				t.Fatalf("without the tag: %v", err)
			}
		}

		tried := 0
		for range 10 * maxTries {
			_, err := h.readReply(copied)
			if !errors.As(err, new(NotReplyError)) {
				t.Fatalf("with a copied tag: %v", err)
			}
			if errors.Is(err, envelope.ErrNotForUs) {
				tried++
			}
		}

		if tried != maxTries {
			t.Errorf("tried to open %d, want %d", tried, maxTries)
		}
		if _, err := h.readReply(seal(`{"code":"busy"}`)); !errors.Is(err, envelope.ErrTooMany) {
			t.Errorf("the camera's own among them: %v", err)
		}

		time.Sleep(time.Second)
		var refusal *Refusal
		if _, err := h.readReply(seal(`{"code":"busy"}`)); !errors.As(err, &refusal) {
			t.Errorf("the camera's own a second later: %v", err)
		}
	})
}

// A camera whose clock is a day behind can be watched, because its answer is dated no earlier than the offer.
func TestReplyIsDatedNoEarlierThanItsOffer(t *testing.T) {
	ours, theirs := sessiontest.Pair(t)
	sent := time.Now().Add(24 * time.Hour) // by the viewer's clock
	id := envelope.SessionID(sessiontest.Random(16))
	received := Received{Pair: ours, Opened: envelope.Opened{Message: envelope.Message{Session: id, Sent: sent}}}
	wire, err := received.Refuse(Refusal{})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := theirs.Open(received.ReplyMailbox(), wire, sent.Add(time.Second)); err != nil {
		t.Errorf("open reply: %v", err)
	}
}
