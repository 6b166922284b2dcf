package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/printable"
)

const (
	// A waiting person learns why after firstLine, whenever the reason changes, and every nextLine.
	firstLine = 1500 * time.Millisecond
	nextLine  = 5 * time.Second
)

// phases says what the viewer is waiting for in each phase of a session, and for how long at most.
var phases = map[string]string{
	"":          "connecting to the relay, up to 11 s",
	"reached":   "waiting for the camera's answer, up to 10 s",
	"answered":  "the camera has answered; looking for a path to it, up to 20 s",
	"checked":   "found a path to the camera; connecting",
	"connected": "connected; waiting for the first picture",
}

// waitLine tells a person why there is no picture so far, one line at a time.
type waitLine struct {
	stderr io.Writer
	until  time.Time // when waiting ends; zero: never

	// mu guards what follows.
	mu      sync.Mutex
	why     string // what the viewer is waiting for
	printed bool   // a line has been printed
	stopped bool
}

// run prints lines until ctx ends.
func (w *waitLine) run(ctx context.Context) {
	first := time.NewTimer(firstLine)
	defer first.Stop()
	select {
	case <-ctx.Done():
		return
	case <-first.C:
		w.print()
	}

	again := time.NewTicker(nextLine)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			w.print()
		}
	}
}

// setReason changes the reason. It is printed at once if the person has read another one.
func (w *waitLine) setReason(why string) {
	w.mu.Lock()
	news := why != w.why && w.printed
	w.why = why
	w.mu.Unlock()
	if news {
		w.print()
	}
}

// reason returns what the viewer is waiting for.
func (w *waitLine) reason() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// stop ends the lines.
func (w *waitLine) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

func (w *waitLine) print() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}

	w.printed = true
	left := ""
	if !w.until.IsZero() {
		left = fmt.Sprintf(" (%.0f s left)", max(time.Until(w.until), 0).Seconds())
	}
	fmt.Fprintf(w.stderr, "%s%s\n", printable.Text(w.why), left)
}
