package viewer

import (
	"context"
	"fmt"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// Still asks a camera for one picture, its current keyframe; name is the camera's name or ID. The picture travels
// sealed through signaling, so it needs no path between the two networks. Through the relay it shows the camera no
// address of ours. With Config.LAN, a camera on this network sees the address that we have there, and a circuit relay,
// which is asked while the relay does not serve the camera, sees our public one. The Frame tells whether it is live,
// and until when. onReject may be nil.
//
// Errors wrap ErrNoCamera, ErrAmbiguous, ErrNoAnswer, ErrNoPicture or a *Refusal, or say why the relay cannot be
// reached.
func (v *Viewer) Still(ctx context.Context, name string, onReject func(Rejection)) (Frame, error) {
	record, err := v.find(name)
	if err != nil {
		return Frame{}, err
	}
	link, err := v.connectCamera(ctx, record, false)
	if err != nil {
		return Frame{}, err
	}
	defer link.stop()

	frame, err := v.askStill(ctx, link, record, onReject)
	if err != nil {
		return Frame{}, fmt.Errorf("ask %q for a picture: %w", name, err)
	}
	if frame.Live() {
		v.reportClock(v.clock.Confirm(frame.Captured))
	}
	return frame, nil
}

// askStill asks a camera for one picture.
func (v *Viewer) askStill(
	ctx context.Context,
	l *link,
	record pairing.Record,
	onReject func(Rejection),
) (frame Frame, err error) {
	err = v.eachDay(ctx, l, record, func(inbox signaling.Mailbox, box envelope.Mailbox) (err error) {
		signal := &offering{Carriers: l.signal, search: l.search}
		defer signal.replied()
		cfg := session.StillConfig{
			Pair:        record.Pair,
			Signal:      signal,
			Inbox:       inbox,
			Box:         box,
			Agent:       agent,
			Now:         v.clock.Now,
			Clock:       v.cfg.Ages,
			OnReject:    onReject,
			HostVersion: v.hostVersion(record),
			OnHostList:  func(list session.HostList) { v.keepHostList(record, list) },

			RelayVersion: v.relaysOf(record).version(),
			OnRelayList:  func(list session.RelayList) { v.keepRelayList(record, list) },
			OnReply:      func(string) { signal.replied() },
		}

		frame, err = session.Still(ctx, cfg)
		if cfg.Nonce = askedNonce(err); cfg.Nonce != nil {
			frame, err = session.Still(ctx, cfg)
		}
		return err
	})

	return frame, err
}
