package viewer

import (
	"context"
	"time"
)

// picture is the one before the person's eyes, and whether they were told that it is live.
type picture struct {
	Frame // without its access unit
	told  bool
}

// lastFrame returns when the last frame of the stream arrived, or the zero time.
func (w *watching) lastFrame() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// isShown reports whether the frames of an attempt are handed on.
func (w *watching) isShown(a *attempt) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shown == a
}

// handleFrame hands on the frames of the session that is shown. A session replaces another with its first frame, and
// for good.
func (w *watching) handleFrame(ctx context.Context, a *attempt, f Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case a.dropped:
		return
	case f.Still:
		w.handleStill(a, f)
		return
	case w.shown != nil && w.shown != a && a.began.Before(w.shown.began):
		return // a later session is shown already
	}

	if w.shown != a {
		w.switchTo(ctx, a, f)
	}
	w.last, w.captured = time.Now(), f.Captured
	w.show(f)
}

// handleStill shows the picture that a session sends before its stream. It proves nothing about the stream to come. It
// shows the beginning of a group of pictures, and so perhaps something older than what is on the screen: time must not
// run backwards. w.mu must be held.
func (w *watching) handleStill(a *attempt, f Frame) {
	if w.shown == nil || a.began.After(w.shown.began) && f.Captured.After(w.captured) {
		w.show(f)
	}
}

// switchTo shows another session from its first frame on. w.mu must be held.
func (w *watching) switchTo(ctx context.Context, a *attempt, f Frame) {
	isFirst := w.shown == nil
	w.shown = a
	if w.cfg.OnSession != nil {
		w.cfg.OnSession()
	}

	if a.path != nil && !isFirst { // nobody heard this attempt when it reported its path
		call(w.cfg.OnPath, *a.path)
	}

	w.work.Go(func() { // run's goroutine may be waiting for mu
		if f.Live() {
			w.viewer.reportClock(w.viewer.clock.Confirm(f.Captured))
		}
		w.post(ctx, func() {
			w.promote(a)
			w.leaveRelay(ctx, a) // its relay may have been lost before this frame
		})
	})
}

// show hands a frame on, after reporting whether it is live. w.mu must be held.
func (w *watching) show(f Frame) {
	bare := f
	bare.AccessUnit = nil
	if w.picture == nil {
		w.picture = &picture{bare, f.Live()}
		call(w.cfg.OnLive, w.picture.told)
	}

	w.picture.Frame = bare
	w.judge()
	call(w.cfg.OnFrame, f)
}

// judge reports when the last picture is no longer live, or is live again. w.mu must be held.
func (w *watching) judge() {
	if p := w.picture; p != nil && p.told != p.Live() {
		p.told = !p.told
		call(w.cfg.OnLive, p.told)
	}
}
