package viewer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/internal/netwatch"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// Watch says how to watch. The On functions are called one at a time, and must not block for long; all but OnFrame may be nil.
type Watch struct {
	RelayOnly bool
	Addresses bool                // put addresses into explanations of the path too
	OnFrame   func(session.Frame) // of the stream; and before that, perhaps, a still of now
	OnSession func()              // the frames from now on are of another session: it begins with a keyframe, and its CTR anew
	OnPath    func(session.Path)  // when the path or what is known of it changes, and at the end of a session
	OnStatus  func(session.Status)
	OnSending func(session.Sending) // how the camera sends, every two seconds
	OnReject  func(session.Rejection)
	OnPhase   func(string)    // "reached", the relay; then those of sessions
	OnRetry   func(err error) // the session broke or stalled; the next is on its way
}

// ErrStalled is why another session begins beside one that shows no picture any more.
var ErrStalled = errors.New("nothing arrives from the camera")

const (
	retryFirst = 250 * time.Millisecond
	retryMost  = 5 * time.Second
	// retryFor is how long a session that once showed a picture is tried again without one.
	retryFor = 5 * time.Minute
)

// Watch watches the camera of a name or id until ctx ends (nil). A session that had a picture and broke comes back by itself;
// one that never had a picture is an error.
//
// When nothing arrives for most of a second, or this device moves to another network, a second session begins beside the first, and takes its
// place with its first frame. If the first revives before that, it stays.
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
	call(w.OnPhase, "reached")
	watching := &watching{viewer: v, client: relay.Client, record: record, cfg: w, id: session.NewWatchID(), events: make(chan func(), 16)}
	err = watching.run(ctx)
	if err != nil && watching.lastFrame().IsZero() {
		return err
	}
	var refusal *session.Refusal
	if err != nil && !errors.As(err, &refusal) {
		return fmt.Errorf("watch %q: %w", name, err)
	}
	return err
}

// watching is one person's watching: the session that is shown, and at times one that is to take its place.
type watching struct {
	viewer *Viewer
	client *signaling.Client
	record pairing.Record
	cfg    Watch
	id     session.WatchID
	events chan func() // run by run's goroutine, which owns what follows
	work   sync.WaitGroup

	current *attempt // nil between two sessions
	next    *attempt // to take its place; nil: none
	again   *time.Timer
	pause   time.Duration
	ended   error // why run returns
	over    bool

	mu       sync.Mutex // held while a function of cfg is called
	shown    *attempt   // guarded by mu; whose frames are handed on
	last     time.Time  // guarded by mu; of the last frame
	captured time.Time  // guarded by mu; by the camera's clock, the last frame
}

// attempt is one session, from asking for its way on.
type attempt struct {
	cancel  context.CancelFunc
	began   time.Time
	stalled bool          // owned by run's goroutine
	err     error         // how it ended; set before run's goroutine hears of that
	path    *session.Path // guarded by watching.mu; the last told
	dropped bool          // guarded by watching.mu; wanted no longer, and what it still hands on while it ends neither
}

func (w *watching) do(ctx context.Context, f func()) {
	select {
	case w.events <- f:
	case <-ctx.Done():
	}
}

func (w *watching) lastFrame() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func (w *watching) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer w.work.Wait()
	defer cancel()
	moved := netwatch.Changes(ctx)
	w.again = time.NewTimer(0)
	defer w.again.Stop()
	w.pause = retryFirst
	for !w.over {
		select {
		case <-ctx.Done():
			w.work.Wait()
			if w.lastFrame().IsZero() && w.current != nil {
				return w.current.err
			}
			return nil // whatever it was waiting for just then
		case f := <-w.events:
			f()
		case <-moved:
			w.client.Renew()
			w.beside(ctx)
		case <-w.again.C:
			w.begin(ctx)
		}
	}
	return w.ended
}

// begin starts a session: the one to be shown, or one to take its place.
func (w *watching) begin(ctx context.Context) {
	if w.next != nil || w.current != nil && !w.current.stalled {
		return
	}
	a := &attempt{began: time.Now()}
	var one context.Context
	one, a.cancel = context.WithCancel(ctx)
	if w.current == nil {
		w.current = a
	} else {
		w.next = a
	}
	w.work.Go(func() {
		a.err = w.viewer.watchOnce(one, w.client, w.record, w.cfg.RelayOnly, w.functions(ctx, a))
		a.cancel()
		w.do(ctx, func() { w.attemptEnded(ctx, a) })
	})
}

// beside begins a session beside the one that is shown, or instead of one that has shown nothing yet.
func (w *watching) beside(ctx context.Context) {
	switch {
	case w.current == nil || w.next != nil: // one is under way, or soon is
		return
	case !w.showing(w.current):
		w.current.cancel() // it begins anew when that has ended
		return
	}
	w.current.stalled = true
	w.begin(ctx)
}

func (w *watching) showing(a *attempt) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shown == a
}

// stall is told that nothing arrives for an attempt, or that it does again.
func (w *watching) stall(ctx context.Context, a *attempt, stalled bool) {
	if a != w.current || !w.showing(a) {
		return
	}
	a.stalled = stalled
	if !stalled {
		w.drop()
		return
	}
	w.client.Hurry()
	w.retry(ErrStalled)
	w.begin(ctx)
}

// drop ends the attempt that was to take the place of the one that is shown. It looks and decides in one: a frame that came between would
// leave an attempt shown that ends, and the one that lives unheard.
func (w *watching) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil || w.shown == w.next {
		return
	}
	w.next.dropped = true
	w.next.cancel()
	w.next = nil
}

// took is told that an attempt's first frame is shown.
func (w *watching) took(a *attempt) {
	w.pause = retryFirst
	if a == w.next {
		w.current.cancel()
		w.current, w.next = a, nil
	}
}

// attemptEnded goes on after a session has ended, or never came to be.
func (w *watching) attemptEnded(ctx context.Context, a *attempt) {
	switch a {
	case w.next:
		w.next = nil
	case w.current:
		if w.current, w.next = w.next, nil; w.current != nil {
			w.current.stalled = false
			return
		}
		last := w.lastFrame()
		if last.IsZero() && !errors.Is(a.err, context.Canceled) && a.err != nil || final(a.err) || time.Since(last) > retryFor && !last.IsZero() {
			w.over, w.ended = true, a.err
			return
		}
		if a.err != nil {
			w.retry(a.err)
		}
		w.client.Hurry()
	default:
		return // it was replaced, or wanted no longer
	}
	w.again.Reset(w.pause)
	w.pause = min(2*w.pause, retryMost)
}

// final says whether the camera has said no for good. A camera that is busy may only think so: sessions that broke are ended by time alone.
func final(err error) bool {
	var refusal *session.Refusal
	return errors.As(err, &refusal) && refusal.Code != "busy"
}

func (w *watching) retry(err error) {
	if w.cfg.OnRetry != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cfg.OnRetry(err)
	}
}

// functions are what one attempt calls. Only the session that is shown is heard, and until there is one, every one.
func (w *watching) functions(ctx context.Context, a *attempt) session.ViewerConfig {
	heard := func(f func()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.shown == a || w.shown == nil {
			f()
		}
	}
	return session.ViewerConfig{
		Watch: w.id, Addresses: w.cfg.Addresses,
		OnStall: func(stalled bool) { w.do(ctx, func() { w.stall(ctx, a, stalled) }) },
		OnFrame: func(f session.Frame) { w.frame(ctx, a, f) },
		OnPath: func(p session.Path) {
			w.mu.Lock()
			a.path = &p
			w.mu.Unlock()
			heard(func() { call(w.cfg.OnPath, p) })
		},
		OnStatus:  func(s session.Status) { heard(func() { call(w.cfg.OnStatus, s) }) },
		OnSending: func(s session.Sending) { heard(func() { call(w.cfg.OnSending, s) }) },
		OnReject: func(r session.Rejection) {
			w.mu.Lock()
			defer w.mu.Unlock()
			call(w.cfg.OnReject, r)
		},
		OnPhase: func(p string) { heard(func() { call(w.cfg.OnPhase, p) }) },
	}
}

func call[T any](f func(T), with T) {
	if f != nil {
		f(with)
	}
}

// frame hands on the frames of the session that is shown. A session takes another's place with its first frame, and for good.
func (w *watching) frame(ctx context.Context, a *attempt, f session.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.dropped {
		return
	}
	if f.Still { // a picture while the stream is on its way, and no proof that it will come; of a group's begin, so perhaps of before what is shown
		if w.shown == nil || a.began.After(w.shown.began) && f.Captured.After(w.captured) {
			w.cfg.OnFrame(f)
		}
		return
	}
	if w.shown != a {
		if w.shown != nil && a.began.Before(w.shown.began) {
			return
		}
		first := w.shown == nil
		w.shown = a
		if w.cfg.OnSession != nil {
			w.cfg.OnSession()
		}
		if a.path != nil && !first {
			call(w.cfg.OnPath, *a.path)
		}
		w.work.Go(func() { w.do(ctx, func() { w.took(a) }) }) // run may be waiting for mu
	}
	w.last, w.captured = time.Now(), f.Captured
	w.cfg.OnFrame(f)
}
