package viewer

import (
	"context"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/session"
)

// Watch says how to watch, and what to call meanwhile. The functions are called one at a time and must not block for
// long. Each may be nil.
type Watch struct {
	RelayOnly bool // hides this device's address from the camera's network: all media goes through the relay
	Addresses bool // puts addresses into the explanations of a Path, too

	// OnFrame gets the pictures of the stream, in order. A frame with Still set may come before them: one picture of
	// now, which is no part of the stream.
	OnFrame func(Frame)
	// OnLive reports whether the last picture may be called live: with the first picture, and whenever that changes.
	OnLive func(live bool)
	// OnSession is called before the first frame of each session. The frames after it begin with a keyframe and count
	// their CTR anew.
	OnSession func()

	OnPath    func(Path)      // the path, or what is known of it, has changed; also at the end of a session
	OnStatus  func(Status)    // what the camera says about its picture
	OnSending func(SendStats) // how the camera sends, every two seconds
	OnReject  func(Rejection) // something arrived and did not open
	OnCarrier func(string)    // what brought the camera's answer: CarrierRelay, CarrierLAN or CarrierCircuit
	OnRegions func(Regions)   // where the relays are that serve a session; called with OnCarrier
	OnRetry   func(err error) // the session broke or stalled, and the next is on its way
	// "reached", the relay or the camera; then "answered", "checked" and "connected" of each session
	OnPhase func(string)
}

// Regions are the regions of the relays that serve a session, by the names of the operator's map, or by the relays'
// hosts if no map names them.
type Regions struct {
	Signaling string // of the relay that brought the camera's answer; "" if it came without a relay
	TURN      string // of the relay through which media goes if it must; "" if there is none
}

// Watch watches a camera until ctx ends, and returns nil then; name is the camera's name or ID. A session that showed a
// picture and broke is replaced by the next. Watch gives up on one that never showed a picture, on a camera that
// refuses for good, and after five minutes without a picture.
//
// When nothing arrives for most of a second, when this device moves to another network, or when a relay is lost through
// which media goes and there is another, a second session begins beside the first, and replaces it with its first
// frame. If the first revives before that, it stays, unless its relay is lost.
//
// Errors wrap ErrNoCamera, ErrAmbiguous, ErrNoAnswer, ErrLost, ErrEnded, ErrSilent or a *Refusal, or say why the relay
// cannot be reached.
func (v *Viewer) Watch(ctx context.Context, name string, w Watch) error {
	record, err := v.find(name)
	if err != nil {
		return err
	}
	link, err := v.connectCamera(ctx, record, w.RelayOnly)
	if err != nil {
		return err
	}
	defer link.stop()

	call(w.OnPhase, "reached")
	watching := &watching{
		viewer: v,
		link:   link,
		record: record,
		cfg:    w,
		id:     session.NewWatchID(),
		events: make(chan func(), 16),
	}

	err = watching.run(ctx)
	var refusal *session.Refusal
	if err == nil || watching.lastFrame().IsZero() || errors.As(err, &refusal) {
		return err
	}
	return fmt.Errorf("watch %q: %w", name, err)
}

// call calls a function that may be nil.
func call[T any](f func(T), with T) {
	if f != nil {
		f(with)
	}
}
