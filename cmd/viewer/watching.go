package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

var (
	errIncomplete = errors.New("not everything you asked for arrived")
	errMissing    = errors.New("the file has gaps, try again: frames did not arrive")
)

// watching is one run of watch. The session's goroutines write its report, each its own fields; it is read at the end.
type watching struct {
	*command
	output    string
	addresses bool
	file      *os.File // created with the first frame, so that an attempt that shows nothing leaves an older file alone
	frames    int      // stop after so many; 0: never
	quiet     bool
	report    report

	start    time.Time
	began    bool   // a keyframe has come
	broke    bool   // the session broke or stalled, and no frame has come since
	next     uint64 // the counter expected of the next frame
	rejected rejections
	failure  error
	done     context.CancelFunc
	last     session.Frame // without its access unit
	trouble  string        // what the camera last said about its picture; empty if all is well
	line     waitLine      // until there is a picture, or the camera says why there is none
}

func (w *watching) run(ctx context.Context, name string, duration time.Duration, relayOnly bool) error {
	ctx, w.done = context.WithCancel(ctx)
	defer w.done()
	whole := ctx
	if duration > 0 {
		var cancel context.CancelFunc
		whole, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}

	w.start = time.Now()
	w.line.stderr, w.line.why = w.stderr, phases[""]
	if !w.quiet {
		go w.line.run(whole)
	}

	defer w.line.stop()

	err := w.viewer.Watch(whole, name, viewer.Watch{
		RelayOnly: relayOnly,
		Addresses: w.addresses,
		OnFrame:   w.onFrame,
		OnLive:    w.onLive,
		OnCarrier: func(name string) { w.report.Signaling = name },
		OnRegions: func(r viewer.Regions) { w.report.SignalingRegion, w.report.TURNRegion = r.Signaling, r.TURN },
		OnPath:    w.onPath,
		OnPhase:   w.onPhase,
		OnStatus:  w.onStatus,
		OnSending: func(s session.SendStats) { w.report.Sending = &s },
		OnReject:  w.rejected.count,
		OnSession: w.onSession,
		OnRetry:   w.onRetry,
	})

	if w.broke && w.report.Frames > 0 {
		w.report.Missing++ // the session did not come back
	}
	if whole.Err() != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		err = nil // it was to end now
	}
	return w.result(err)
}

// result prints what came, and returns the command's error. err is why it ended before its time.
func (w *watching) result(err error) error {
	switch {
	case w.failure != nil:
		return w.failure
	case err != nil:
		return err
	case w.report.Frames == 0, w.report.Frames < w.frames:
		err = fmt.Errorf("%w: %d frames", errIncomplete, w.report.Frames)
		if w.trouble != "" {
			err = fmt.Errorf("%w; the camera says: %s", err, printable.Text(w.trouble))
		}
		return err
	case w.output != "" && w.report.Missing > 0:
		return fmt.Errorf("%w (%d)", errMissing, w.report.Missing)
	}

	if w.rejected.n > 0 {
		fmt.Fprintf(w.stderr, "the relay also delivered %v: tell its operator\n", &w.rejected)
	}
	if !w.quiet {
		fmt.Fprintf(w.stderr, "%d frames, %d kB in %.1f s; first picture after %.0f ms, stream after %.0f ms\n",
			w.report.Frames, w.report.Bytes/1000, w.elapsed()/1000, w.report.TTFF, w.report.Stream)
	}

	return nil
}

// onFrame takes one opened access unit. The output begins with a keyframe, so that it plays.
func (w *watching) onFrame(f session.Frame) {
	if w.failure != nil || w.frames > 0 && w.report.Frames == w.frames {
		return
	}
	w.line.stop()
	if w.report.TTFF == 0 && f.Keyframe {
		w.report.TTFF = w.elapsed()
	}

	if f.Still || !w.began && !f.Keyframe { // the stream has the still picture too
		return
	}

	if w.report.Frames == 0 {
		w.report.Stream = w.elapsed()
	}
	if w.began && f.First > w.next {
		w.report.Missing += f.First - w.next
	}

	w.began, w.broke, w.next = true, false, f.CTR+1

	if err := w.write(f.AccessUnit); err != nil {
		w.failure = fmt.Errorf("write stream: %w", err)
		w.done()
		return
	}

	if !f.Live() { // checked after writing: the stream's reader may have let it wait
		w.report.Delayed++
	}
	w.report.Bytes += len(f.AccessUnit)
	w.last, w.last.AccessUnit = f, nil
	if w.report.Frames++; w.report.Frames == w.frames {
		w.done()
	}
}

func (w *watching) write(unit []byte) (err error) {
	switch {
	case w.output == "":
		return nil
	case w.output == "-":
		_, err = w.stdout.Write(unit)
		return err
	case w.file == nil:
		if w.file, err = os.OpenFile(w.output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err != nil {
			return err
		}
	}

	_, err = w.file.Write(unit)
	return err
}

func (w *watching) close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}

func (w *watching) onLive(live bool) {
	if !live {
		fmt.Fprintln(w.stderr, "Delayed: this picture is not live.")
	}
}

// onSession is called for each new session: it begins with a keyframe, and counts its frames anew.
func (w *watching) onSession() {
	w.began = false
	if w.report.Frames > 0 {
		w.report.Missing++ // at least one: nobody counts what the camera saw in between
	}
}

func (w *watching) onRetry(err error) {
	w.broke = true
	fmt.Fprintf(w.stderr, "%v; trying again\n", err)
}

func (w *watching) onStatus(s session.Status) {
	w.trouble = s.Text
	w.line.stop()
	w.printStatus(s)
}

func (w *watching) onPath(p session.Path) {
	if p.Why != w.report.Why && !w.quiet {
		fmt.Fprintln(w.stderr, p.Why)
	}
	w.report.Path, w.report.Why, w.report.Explain = p.Kind, p.Why, &p.Explain
	w.report.LocalCandidate, w.report.RemoteCandidate = p.Local, p.Remote
}

func (w *watching) onPhase(name string) {
	w.line.setReason(phases[name])
	switch name {
	case "reached":
		w.report.Reached = w.elapsed()
	case "answered":
		w.report.Answered = w.elapsed()
	case "checked":
		w.report.Checked = w.elapsed()
	case "connected":
		w.report.Connected = w.elapsed()
	}
}

// elapsed returns the milliseconds since the start.
func (w *watching) elapsed() float64 { return float64(time.Since(w.start).Microseconds()) / 1000 }
