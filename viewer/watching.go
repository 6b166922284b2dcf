package viewer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/nat/netwatch"
	"github.com/peephole-cam/peephole/session"
)

const (
	minRetry = 250 * time.Millisecond
	maxRetry = 5 * time.Second

	// retryFor is how long a watching that once showed a picture goes on without one.
	retryFor = 5 * time.Minute

	// judgeEvery is how often the last picture is judged again.
	judgeEvery = 250 * time.Millisecond
)

// watching is one person's watching: the session that is shown, and at times one that is to replace it.
//
// run's goroutine owns the attempts. The sessions' goroutines hand frames on under mu, and post everything else to
// events.
type watching struct {
	viewer *Viewer
	link   *link
	record pairing.Record
	cfg    Watch
	id     session.WatchID
	events chan func() // called by run's goroutine, which owns what follows
	work   sync.WaitGroup

	current    *attempt // nil between two sessions
	next       *attempt // to replace current; nil: none
	retryTimer *time.Timer
	pause      time.Duration // before the next retry
	over       bool
	ended      error // why run returns, once over

	mu       sync.Mutex // held while a function of cfg is called
	shown    *attempt   // guarded by mu; whose frames are handed on
	last     time.Time  // guarded by mu; when the last frame arrived
	captured time.Time  // guarded by mu; when it was captured, by the camera's clock
	picture  *picture   // guarded by mu; the last one handed on; nil: none was
}

// attempt is one session, from the moment it asks for its ICE servers.
type attempt struct {
	running  context.Context
	cancel   context.CancelFunc
	began    time.Time
	stalled  bool  // owned by run's goroutine; another is to begin beside it
	replaced bool  // owned by run's goroutine; was canceled so that another begins instead
	err      error // how it ended; set before run's goroutine hears of that

	path      *session.Path // guarded by watching.mu; the last one reported
	dropped   bool          // guarded by watching.mu; no longer wanted: its frames are ignored while it ends
	relay     string        // guarded by watching.mu; URL of the relay whose ICE servers it uses; empty: none
	relayLost string        // guarded by watching.mu; that URL once the relay is lost; empty until then
}

// post has run's goroutine call f.
func (w *watching) post(ctx context.Context, f func()) {
	select {
	case w.events <- f:
	case <-ctx.Done():
	}
}

// run watches until ctx ends (nil), or until it gives up.
func (w *watching) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer w.work.Wait()
	defer cancel()

	moved := netwatch.Changes(ctx)
	w.retryTimer = time.NewTimer(0)
	defer w.retryTimer.Stop()
	judge := time.NewTicker(judgeEvery)
	defer judge.Stop()

	w.pause = minRetry
	for !w.over {
		select {
		case <-ctx.Done():
			return w.canceled()
		case f := <-w.events:
			f()
		case <-moved:
			w.link.redial()
			w.beginBeside(ctx)
		case <-w.retryTimer.C:
			w.begin(ctx)
		case <-judge.C:
			w.mu.Lock()
			w.judge()
			w.mu.Unlock()
		}
	}

	return w.ended
}

// canceled returns what run returns once its context has ended: the error of a first session that showed nothing.
func (w *watching) canceled() error {
	w.work.Wait()
	if w.lastFrame().IsZero() && w.current != nil {
		return w.current.err
	}
	return nil
}

// begin starts a session: the one to be shown, or one to replace it.
func (w *watching) begin(ctx context.Context) {
	if w.next != nil || w.current != nil && !w.current.stalled {
		return
	}
	a := &attempt{began: time.Now()}
	a.running, a.cancel = context.WithCancel(ctx)
	if w.current == nil {
		w.current = a
	} else {
		w.next = a
	}

	w.work.Go(func() {
		a.err = w.viewer.runSession(a.running, w.link, w.record, w.cfg.RelayOnly, w.hooks(ctx, a))
		a.cancel()
		w.post(ctx, func() { w.attemptEnded(a) })
	})
}

// beginBeside begins a session beside the one that is shown, or instead of one that has shown nothing yet.
func (w *watching) beginBeside(ctx context.Context) {
	switch {
	case w.current == nil || w.next != nil: // one is under way, or soon will be
	case !w.isShown(w.current):
		w.current.replaced = true
		w.current.cancel() // the next begins when it has ended
	default:
		w.current.stalled = true
		w.begin(ctx)
	}
}

// stall handles an attempt that has stopped delivering, or delivers again.
func (w *watching) stall(ctx context.Context, a *attempt, stalled bool) {
	if a != w.current || !w.isShown(a) {
		return
	}
	if !stalled && w.leaves(a) {
		return // something arrives again, but its relay is lost: the next session still replaces it
	}
	a.stalled = stalled
	if !stalled {
		w.dropNext()
		return
	}

	w.link.probe()
	w.reportRetry(ErrStalled)
	w.begin(ctx)
}

// dropNext ends the attempt that was to replace the one that is shown. It checks and decides under one lock: a frame in
// between could otherwise leave a dying attempt shown, and the living one unheard.
func (w *watching) dropNext() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil || w.shown == w.next {
		return
	}
	w.next.dropped = true
	w.next.cancel()
	w.next = nil
}

// promote handles the first frame of an attempt: from now on it is the current one.
func (w *watching) promote(a *attempt) {
	w.pause = minRetry
	if a == w.next {
		w.current.cancel()
		w.current, w.next = a, nil
	}
}

// attemptEnded handles the end of a session, or of an attempt that never became one.
func (w *watching) attemptEnded(a *attempt) {
	switch a {
	case w.next: // the current one may revive; otherwise try again
		w.next = nil
		w.retryLater()
	case w.current:
		w.currentEnded(a)
	}
	// Any other was replaced or dropped before.
}

// currentEnded has the next session replace the current one, tries again, or gives up.
func (w *watching) currentEnded(a *attempt) {
	w.current, w.next = w.next, nil
	if w.current != nil {
		w.current.stalled = false
		return
	}
	if w.isFinal(a) {
		w.over, w.ended = true, a.err
		return
	}

	if a.err != nil {
		w.reportRetry(a.err)
	}
	w.link.probe()
	w.retryLater()
}

// isFinal reports whether a session that has ended is the last. Before the first picture every error is final, except
// that of a session that this end canceled so that another begins: canceled as it was, it may blame the relay.
func (w *watching) isFinal(a *attempt) bool {
	if isRefusal(a.err) {
		return true
	}
	if last := w.lastFrame(); !last.IsZero() {
		return time.Since(last) > retryFor
	}
	return a.err != nil && !a.replaced && !errors.Is(a.err, context.Canceled)
}

// isRefusal reports whether the camera has said no for good. A camera that says it is busy may be wrong: only time ends
// its sessions that broke. A camera whose clock is wrong accepts the next offer, or the one after it.
func isRefusal(err error) bool {
	var refusal *session.Refusal
	return errors.As(err, &refusal) && refusal.Code != "busy" && refusal.Code != session.ClockRefusal
}

// retryLater begins another session after a pause, which doubles each time.
func (w *watching) retryLater() {
	w.retryTimer.Reset(w.pause)
	w.pause = min(2*w.pause, maxRetry)
}

func (w *watching) reportRetry(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	call(w.cfg.OnRetry, err)
}

// hooks returns what one attempt calls. Only the session that is shown is heard; until there is one, all are.
func (w *watching) hooks(ctx context.Context, a *attempt) session.ViewerConfig {
	return session.ViewerConfig{
		Watch:     w.id,
		Addresses: w.cfg.Addresses,
		OnStall:   func(stalled bool) { w.post(ctx, func() { w.stall(ctx, a, stalled) }) },
		OnFrame:   func(f Frame) { w.handleFrame(ctx, a, f) },
		OnPath: func(p Path) {
			w.reportPath(a, p)
			w.post(ctx, func() { w.leaveRelay(ctx, a) })
		},
		OnStatus:  func(s Status) { callIfHeard(w, a, w.cfg.OnStatus, s) },
		OnSending: func(s SendStats) { callIfHeard(w, a, w.cfg.OnSending, s) },
		OnPhase:   func(phase string) { callIfHeard(w, a, w.cfg.OnPhase, phase) },
		OnReply: func(carrier string) {
			w.followRelay(ctx, a)
			w.reportCarrier(a, carrier)
		},
		OnReject: func(r Rejection) {
			w.mu.Lock()
			defer w.mu.Unlock()
			call(w.cfg.OnReject, r)
		},
	}
}

// reportPath reports the path of an attempt, or keeps it until the attempt is heard.
func (w *watching) reportPath(a *attempt, p Path) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a.path = &p
	if w.hears(a) {
		call(w.cfg.OnPath, p)
	}
}

// reportCarrier reports what has brought the camera's reply.
func (w *watching) reportCarrier(a *attempt, carrier string) {
	kind, signaling, turn := w.link.regions(carrier)
	callIfHeard(w, a, w.cfg.OnCarrier, kind)
	callIfHeard(w, a, w.cfg.OnRegions, Regions{Signaling: signaling, TURN: turn})
}

// hears reports whether an attempt is heard. w.mu must be held.
func (w *watching) hears(a *attempt) bool { return w.shown == a || w.shown == nil }

func callIfHeard[T any](w *watching, a *attempt, f func(T), with T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hears(a) {
		call(f, with)
	}
}
