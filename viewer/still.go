package viewer

import (
	"context"
	"fmt"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// Still asks the camera of a name or id for one picture, its current keyframe. It travels sealed through the relay's signaling,
// so it needs no way between the two networks and shows the camera no address of ours. onReject may be nil.
// A picture that is not live is marked so, as with Watch.
func (v *Viewer) Still(ctx context.Context, name string, onReject func(session.Rejection)) (session.Frame, error) {
	record, err := v.find(name)
	if err != nil {
		return session.Frame{}, err
	}
	relay, err := v.connect(ctx, record.RelayURL)
	if err != nil {
		return session.Frame{}, err
	}
	defer relay.stop()
	if err := relay.reach(ctx); err != nil {
		return session.Frame{}, err
	}
	var frame session.Frame
	err = eachDay(relay.Client, record, func(inbox signaling.Mailbox, box envelope.Mailbox) (err error) {
		frame, err = session.Still(ctx, session.StillConfig{
			Pair: record.Pair, Signal: relay.Client, Inbox: inbox, Box: box, Agent: "peephole viewer", OnReject: onReject,
		})
		return err
	})
	if err != nil {
		return session.Frame{}, fmt.Errorf("ask %q for a picture: %w", name, err)
	}
	return frame, nil
}
