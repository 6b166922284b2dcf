package viewer

import (
	"context"
	"errors"
	"fmt"

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
	inbox, box := inboxOf(relay.Client, record)
	frame, err := session.Still(ctx, session.StillConfig{
		Pair: record.Pair, Signal: relay.Client, Inbox: inbox, Box: box, Agent: "peephole viewer", OnReject: onReject,
	})
	var refusal *signaling.Error
	if errors.As(err, &refusal) && refusal.Code == signaling.CodeNotAdmitted {
		err = session.ErrNoAnswer // the camera has not been at its mailbox
	}
	if err != nil {
		return session.Frame{}, fmt.Errorf("ask %q for a picture: %w", name, err)
	}
	return frame, nil
}
