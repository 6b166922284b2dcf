package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

// report is what -json prints at the end; scripts rely on its fields.
type report struct {
	Camera          string `json:"camera"`
	Frames          int    `json:"frames"`
	Bytes           int    `json:"bytes"`
	Rejected        int    `json:"rejected"` // things that did not open
	Missing         uint64 `json:"missing"`  // frames that did not arrive
	Delayed         int    `json:"delayed"`  // frames that were not live
	Path            string `json:"path"`     // "direct" or "relay"
	Why             string `json:"why"`
	LocalCandidate  string `json:"local_candidate"`
	RemoteCandidate string `json:"remote_candidate"`

	Explain *session.Explain `json:"explain"` // null where the camera did not answer
	Sending *session.Sending `json:"sending"` // how the camera sent at last; null where it has not told

	TTFF      float64 `json:"ttff_ms"`    // from the command's start of the session to the first picture
	Stream    float64 `json:"stream_ms"`  // to the first frame of the stream
	Reached   float64 `json:"reached_ms"` // to where the connection to the relay stands
	Answered  float64 `json:"answered_ms"`
	Checked   float64 `json:"checked_ms"` // by ICE
	Connected float64 `json:"connected_ms"`
	Error     string  `json:"error"`
}

var (
	errIncomplete = errors.New("not all that was asked for arrived")
	errMissing    = errors.New("frames are missing from the file: the network lost them; try again")
)

func (c *command) watch(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("watch", flag.ContinueOnError)
	frames := fs.Int("frames", 0, "stop after this many frames; 0: do not")
	duration := fs.Duration("duration", 0, "stop after this long; 0: do not")
	output := fs.String("o", "", "write the H.264 byte stream to this `file`; - is standard output")
	relayOnly := fs.Bool("relay-only", false, "go through the relay's TURN server, so that the camera's network does not learn this one's address")
	asJSON := fs.Bool("json", false, "print one JSON object at the end")
	addresses := fs.Bool("explain-addresses", false, "put addresses, yours and the camera's, into what -json explains: think before you show it to others")
	name, err := c.arguments(fs, args, "NAME")
	if err != nil {
		return err
	}
	if *asJSON && *output == "-" {
		return errors.New("-json and -o - both want standard output: write the stream to a file")
	}
	w := &watching{command: c, output: *output, frames: *frames, report: report{Camera: name}, quiet: *asJSON, addresses: *addresses, rejected: rejections{stderr: c.stderr}}
	err = w.run(ctx, name, *duration, *relayOnly)
	err = errors.Join(w.rejected.explain(err, w.report.Frames), w.close())
	w.report.Rejected = w.rejected.n
	if *asJSON {
		if err != nil {
			w.report.Error = err.Error()
		}
		err = errors.Join(err, json.NewEncoder(c.stdout).Encode(w.report))
	}
	return err
}

// watching is one run of watch. Its report is written by the session's goroutines, one kind of field each, and read at the end.
type watching struct {
	*command
	output    string
	addresses bool
	file      *os.File // made with the first frame, so that an attempt that shows nothing leaves an older file alone
	frames    int
	quiet     bool
	report    report

	start    time.Time
	began    bool // a keyframe has come
	broke    bool // the session broke or stalled, and no frame has come since
	next     uint64
	rejected rejections
	failure  error
	done     context.CancelFunc
	late     bool
	trouble  string // what the camera last said about its picture; empty when all is well
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
	err := w.viewer.Watch(whole, name, viewer.Watch{
		RelayOnly: relayOnly,
		Addresses: w.addresses,
		OnFrame:   w.frame,
		OnPath:    w.path,
		OnPhase:   w.phase,
		OnStatus:  w.status,
		OnSending: func(s session.Sending) { w.report.Sending = &s },
		OnReject:  w.rejected.add,
		OnSession: func() {
			w.began = false // this session begins with a keyframe and counters of its own
			if w.report.Frames > 0 {
				w.report.Missing++ // at least: nobody counts what the camera saw meanwhile
			}
		},
		OnRetry: func(err error) {
			w.broke = true
			fmt.Fprintf(w.stderr, "%v; trying again\n", err)
		},
	})
	if w.broke && w.report.Frames > 0 {
		w.report.Missing++ // it has not come back
	}
	switch {
	case w.failure != nil:
		return w.failure
	case err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		return err
	case w.frames > 0 && w.report.Frames < w.frames, w.report.Frames == 0:
		err = fmt.Errorf("%w: %d frames", errIncomplete, w.report.Frames)
		if w.trouble != "" {
			err = fmt.Errorf("%w; the camera says: %s", err, session.Printable(w.trouble))
		}
		return err
	case w.output != "" && w.report.Missing > 0:
		return fmt.Errorf("%w (%d)", errMissing, w.report.Missing)
	}
	if w.rejected.n > 0 {
		fmt.Fprintf(w.stderr, "besides, the relay delivered %v: tell its operator\n", &w.rejected)
	}
	if !w.quiet {
		fmt.Fprintf(w.stderr, "%d frames, %d kB, %.1f s; a picture after %.0f ms, the stream after %.0f\n", w.report.Frames, w.report.Bytes/1000, w.since()/1000, w.report.TTFF, w.report.Stream)
	}
	return nil
}

func (w *watching) status(s session.Status) {
	w.trouble = s.Text
	w.told(s)
}

// frame takes one opened access unit. What is written begins with a keyframe, so that it plays.
func (w *watching) frame(f session.Frame) {
	if w.failure != nil || w.frames > 0 && w.report.Frames == w.frames {
		return
	}
	if w.report.TTFF == 0 && f.Keyframe {
		w.report.TTFF = w.since()
	}
	if f.Still {
		return // the stream has it too
	}
	if !w.began && !f.Keyframe {
		return
	}
	if w.report.Frames == 0 {
		w.report.Stream = w.since()
	}
	if w.began && f.CTR > w.next {
		w.report.Missing += f.CTR - w.next
	}
	w.began, w.broke, w.next = true, false, f.CTR+1
	if w.late == f.Live {
		w.late = !f.Live
		if w.late {
			fmt.Fprintln(w.stderr, "Delayed: this picture is not live.")
		}
	}
	if !f.Live {
		w.report.Delayed++
	}
	if err := w.write(f.AccessUnit); err != nil {
		w.failure = fmt.Errorf("write stream: %w", err)
		w.done()
		return
	}
	w.report.Bytes += len(f.AccessUnit)
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

func (w *watching) path(p session.Path) {
	news := p.Why != w.report.Why
	w.report.Path, w.report.Why, w.report.LocalCandidate, w.report.RemoteCandidate, w.report.Explain = p.Kind, p.Why, p.Local, p.Remote, &p.Explain
	if news && !w.quiet {
		fmt.Fprintln(w.stderr, p.Why)
	}
}

func (w *watching) phase(name string) {
	switch name {
	case "reached":
		w.report.Reached = w.since()
	case "answered":
		w.report.Answered = w.since()
	case "checked":
		w.report.Checked = w.since()
	case "connected":
		w.report.Connected = w.since()
	}
}

func (w *watching) since() float64 { return float64(time.Since(w.start).Microseconds()) / 1000 }
