package e2e

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// troll is a camera that is not ours: it pairs with one viewer, gives itself any name it likes, which package camera
// would not, and refuses every session in words of its own.
type troll struct {
	client        *signaling.Client
	displayer     *pairing.Displayer
	name, refusal string
}

// startTroll runs a troll until the test ends and returns its pairing link.
func startTroll(t *testing.T, relayURL, name, refusal string) (link string) {
	t.Helper()
	client, err := signaling.NewClient(signaling.ClientConfig{URL: relayURL, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	self, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}

	displayer, err := pairing.NewDisplayer(self, identity.Camera, relayURL, time.Hour)
	if err != nil {
		t.Fatal(err)
	}

	run(t, client.Run)
	r := &troll{client: client, displayer: displayer, name: name, refusal: refusal}
	run(t, r.pair)
	return displayer.Code().URI()
}

// pair pairs with anybody who has the code, and serves that viewer until ctx ends.
func (r *troll) pair(ctx context.Context) error {
	box := func(m envelope.Mailbox) signaling.Mailbox {
		return signaling.Mailbox{Read: m.Read, Write: m.Write, Ticket: []byte(signaling.PairingTicket)}
	}
	toUs, toScanner := r.displayer.Code().Rendezvous()
	inbox := make(chan []byte, 16)
	defer r.client.Receive(box(toUs), func(d signaling.Delivery) bool { inbox <- d.Body; return true })()

	defer r.client.Keep(box(toScanner))()
	if err := r.client.Send(ctx, box(toScanner), r.displayer.Hello(), time.Hour); err != nil {
		return err
	}

	for {
		select {
		case <-ctx.Done():
			return nil
		case message := <-inbox:
			o := r.displayer.Handle(message)
			if o.Reply != nil {
				if err := r.client.Send(ctx, box(toScanner), o.Reply, time.Hour); err != nil {
					return err
				}
			}

			if o.Pair != nil {
				return r.serve(ctx, o.Pair)
			}
		}
	}
}

// serve welcomes the viewer with the troll's name and refuses its offers.
func (r *troll) serve(ctx context.Context, pair *envelope.Pair) error {
	box := func(m envelope.Mailbox) signaling.Mailbox { return signaling.Mailbox{Read: m.Read, Write: m.Write} }
	now := time.Now()
	toUs, toViewer := pair.Mailbox(envelope.ToCamera, pair.Day(now)), pair.Mailbox(envelope.ToViewer, pair.Day(now))
	offers := make(chan []byte, 16)
	defer r.client.Receive(box(toUs), func(d signaling.Delivery) bool { offers <- d.Body; return true })()

	defer r.client.Keep(box(toViewer))()

	name, err := json.Marshal(map[string]string{"name": r.name})
	if err != nil {
		return err
	}
	message := envelope.Message{Type: envelope.TypeWelcome, Sent: now, Expiry: now.Add(time.Minute), Body: name}
	welcome, err := pair.Seal(toViewer, message)
	if err != nil {
		return err
	}
	if err := r.client.Send(ctx, box(toViewer), welcome.Wire, time.Minute); err != nil {
		return err
	}

	for {
		select {
		case <-ctx.Done():
			return nil
		case wire := <-offers:
			offer, err := pair.Open(toUs, wire, time.Now())
			if err != nil {
				return err
			}
			cfg := session.CameraConfig{Pair: pair, Signal: r.client, Offer: offer, OfferWire: wire}
			if err := session.Refuse(ctx, cfg, session.Refusal{Code: "refused", Text: r.refusal}); err != nil &&
				ctx.Err() == nil {
				return err
			}
		}
	}
}
