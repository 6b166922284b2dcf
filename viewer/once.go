package viewer

import (
	"context"
	"errors"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// askGrant asks for the session's ICE servers, and does not wait for ever for a relay that is there and says nothing.
func askGrant(ctx context.Context, client *signaling.Client, inbox signaling.Mailbox) (signaling.Grant, error) {
	asking, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	grant, err := client.Grant(asking, inbox)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = session.ErrSilent
	}
	return grant, err
}

// days are those whose mailbox a camera may have open: today by the relay's clock, and by this device's own where that is another day, for either
// clock may be wrong.
func days(client *signaling.Client, record pairing.Record) []uint32 {
	relay, _ := client.ServerTime()
	today, own := record.Pair.Day(relay), record.Pair.Day(time.Now())
	if today == own {
		return []uint32{today}
	}
	return []uint32{today, own}
}

// eachDay tries every day's mailbox, as signaling and as envelopes know it, until one is answered.
func eachDay(client *signaling.Client, record pairing.Record, try func(inbox signaling.Mailbox, box envelope.Mailbox) error) (err error) {
	for _, day := range days(client, record) {
		box := record.Pair.Mailbox(envelope.ToCamera, day)
		err = try(signaling.Mailbox{Read: box.Read, Write: box.Write}, box)
		var refusal *signaling.Error
		if errors.As(err, &refusal) && refusal.Code == signaling.CodeNotAdmitted {
			err = session.ErrNoAnswer // the camera has not been at its mailbox
		}
		if !errors.Is(err, session.ErrNoAnswer) {
			return err
		}
	}
	return err
}

// watchOnce is one session. cfg has the functions that it calls, and its watch's id.
func (v *Viewer) watchOnce(ctx context.Context, client *signaling.Client, record pairing.Record, relayOnly bool, cfg session.ViewerConfig) error {
	return eachDay(client, record, func(inbox signaling.Mailbox, box envelope.Mailbox) error {
		cfg.Inbox, cfg.Box = inbox, box
		return v.watchThrough(ctx, client, record, relayOnly, cfg)
	})
}

// watchThrough is one session that is offered through cfg's mailbox.
func (v *Viewer) watchThrough(ctx context.Context, client *signaling.Client, record pairing.Record, relayOnly bool, cfg session.ViewerConfig) error {
	defer client.Keep(cfg.Inbox)()
	grant, err := askGrant(ctx, client, cfg.Inbox)
	if err != nil {
		return err
	}
	cfg.Pair, cfg.Signal = record.Pair, client
	cfg.TURN = &session.TURN{URLs: grant.URLs, Username: grant.Viewer.Username, Credential: grant.Viewer.Credential}
	cfg.CameraTURN = &session.TURN{URLs: grant.URLs, Username: grant.Camera.Username, Credential: grant.Camera.Credential}
	cfg.PortMapper = v.cfg.PortMapper
	cfg.Carriers = []media.Carrier{media.H264Carrier, media.VP8Carrier}
	cfg.RelayOnly, cfg.Loopback, cfg.TLS, cfg.Agent, cfg.Logger = relayOnly, signaling.Loopback(record.RelayURL), v.cfg.TLS, "peephole viewer", v.cfg.Logger
	s, err := session.NewViewer(cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
