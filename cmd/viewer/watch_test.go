package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/session"
)

// slowReader is a standard output that is read slowly.
type slowReader struct {
	bytes.Buffer
	takes time.Duration
	boot  *time.Duration
}

func (r *slowReader) Write(p []byte) (int, error) {
	*r.boot += r.takes
	return r.Buffer.Write(p)
}

// Whether a frame is live is decided once it has been written, and for the last frame once the report is printed.
func TestFrameIsJudgedOnceItIsWritten(t *testing.T) {
	var boot time.Duration
	machine := clock.New(func() time.Duration { return boot }, func() time.Time { return time.Unix(1e9, 0).Add(boot) })
	out := &slowReader{boot: &boot}
	w := &watching{command: &command{stdout: out, stderr: &bytes.Buffer{}}, output: "-"}
	show := func(takes time.Duration) {
		out.takes = takes
		w.onFrame(session.Frame{AccessUnit: []byte("unit"), Keyframe: true, CTR: w.next, Challenged: machine.Now()})
	}

	show(session.LiveFor)
	if w.report.Frames != 1 || w.report.Delayed != 0 || !w.last.Live() {
		t.Errorf("%d of %d delayed, want none", w.report.Delayed, w.report.Frames)
	}
	show(session.LiveFor + 1)
	if w.report.Frames != 2 || w.report.Delayed != 1 || w.last.Live() {
		t.Errorf("%d of %d delayed, want the second", w.report.Delayed, w.report.Frames)
	}

	show(0)
	if boot += time.Hour; w.report.Delayed != 1 || w.last.Live() {
		t.Errorf("%d of %d delayed, and the last is live after an hour: %t", w.report.Delayed, w.report.Frames,
			w.last.Live())
	}
}
