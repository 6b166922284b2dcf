package viewer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// Watch says how to watch. The On functions are called from the session's goroutines and must not block for long; all but
// OnFrame may be nil.
type Watch struct {
	RelayOnly bool
	OnFrame   func(session.Frame)
	OnPath    func(session.Path)
	OnStatus  func(session.Status)
	OnReject  func(session.Rejection)
	OnPhase   func(string)
	OnRetry   func(err error) // the session broke; the next is on its way
}

const (
	retryFirst = 250 * time.Millisecond
	retryMost  = 5 * time.Second
	// retryFor is how long a session that once showed a picture is tried again without one.
	retryFor = 5 * time.Minute
)

// Watch watches the camera of a name or id until ctx ends (nil). A session that had a picture and broke comes back by itself;
// one that never had a picture is an error.
func (v *Viewer) Watch(ctx context.Context, name string, w Watch) error {
	record, err := v.find(name)
	if err != nil {
		return err
	}
	relay, err := v.connect(ctx, record.RelayURL)
	if err != nil {
		return err
	}
	defer relay.stop()
	if err := relay.reach(ctx); err != nil {
		return err
	}
	var last time.Time // of the last frame; owned by the frame goroutine of the session under way
	onFrame := w.OnFrame
	w.OnFrame = func(f session.Frame) { last = time.Now(); onFrame(f) }
	pause := retryFirst
	for {
		began := time.Now()
		err := v.watchOnce(ctx, relay.Client, record, w)
		var refusal *session.Refusal
		switch {
		case ctx.Err() != nil && !last.IsZero():
			return nil // whatever it was waiting for just then
		case ctx.Err() != nil, last.IsZero(), errors.As(err, &refusal):
			return err
		}
		if time.Since(last) > retryFor {
			return fmt.Errorf("watch %q: %w", name, err)
		}
		if last.After(began) {
			pause = retryFirst
		}
		if w.OnRetry != nil {
			w.OnRetry(err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		pause = min(2*pause, retryMost)
	}
}

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

// inboxOf is the camera's mailbox of today, as signaling and as envelopes know it.
func inboxOf(client *signaling.Client, record pairing.Record) (signaling.Mailbox, envelope.Mailbox) {
	today, _ := client.ServerTime()
	box := record.Pair.Mailbox(envelope.ToCamera, record.Pair.Day(today))
	return signaling.Mailbox{Read: box.Read, Write: box.Write}, box
}

// watchOnce is one session.
func (v *Viewer) watchOnce(ctx context.Context, client *signaling.Client, record pairing.Record, w Watch) error {
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
	s, err := session.NewViewer(session.ViewerConfig{
		Pair: record.Pair, Signal: client, Inbox: inbox, Box: box,
		TURN:       &session.TURN{URLs: grant.URLs, Username: grant.Viewer.Username, Credential: grant.Viewer.Credential},
		CameraTURN: &session.TURN{URLs: grant.URLs, Username: grant.Camera.Username, Credential: grant.Camera.Credential},
		Carriers:   []media.Carrier{media.H264Carrier, media.VP8Carrier},
		RelayOnly:  w.RelayOnly, Loopback: signaling.Loopback(record.RelayURL), Agent: "peephole viewer", Logger: v.cfg.Logger,
		OnFrame: w.OnFrame, OnPath: w.OnPath, OnStatus: w.OnStatus, OnReject: w.OnReject, OnPhase: w.OnPhase,
	})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
