package viewer

import (
	"context"
	"errors"

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
		err = errors.Join(session.ErrSilent, err)
	}
	return grant, err
}

// watchOnce is one session. cfg has the functions that it calls, and its watch's id.
func (v *Viewer) watchOnce(ctx context.Context, client *signaling.Client, record pairing.Record, relayOnly bool, cfg session.ViewerConfig) error {
	inbox, box := inboxOf(client, record)
	defer client.Keep(inbox)()
	grant, err := askGrant(ctx, client, inbox)
	var refusal *signaling.Error
	if errors.As(err, &refusal) && refusal.Code == signaling.CodeNotAdmitted {
		return session.ErrNoAnswer // the camera has not been at its mailbox
	}
	if err != nil {
		return err
	}
	cfg.Pair, cfg.Signal, cfg.Inbox, cfg.Box = record.Pair, client, inbox, box
	cfg.TURN = &session.TURN{URLs: grant.URLs, Username: grant.Viewer.Username, Credential: grant.Viewer.Credential}
	cfg.CameraTURN = &session.TURN{URLs: grant.URLs, Username: grant.Camera.Username, Credential: grant.Camera.Credential}
	cfg.Carriers = []media.Carrier{media.H264Carrier, media.VP8Carrier}
	cfg.RelayOnly, cfg.Loopback, cfg.TLS, cfg.Agent, cfg.Logger = relayOnly, signaling.Loopback(record.RelayURL), v.cfg.TLS, "peephole viewer", v.cfg.Logger
	s, err := session.NewViewer(cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
