package main

import (
	"fmt"
	"io"

	"github.com/peephole-cam/peephole/session"
)

// rejections counts what arrived and did not open. It tells the person at once the first time, and again at the end.
type rejections struct {
	stderr io.Writer
	n      int
}

func (r *rejections) count(one session.Rejection) {
	if r.n++; r.n == 1 {
		fmt.Fprintln(r.stderr, one.Text())
	}
}

func (r *rejections) String() string {
	if r.n == 1 {
		return "1 thing that is not from your camera"
	}
	return fmt.Sprintf("%d things that are not from your camera", r.n)
}

// explain adds to the error of an attempt that showed nothing that the relay delivered something else, and what to do.
func (r *rejections) explain(err error, shown int) error {
	if err == nil || r.n == 0 || shown > 0 {
		return err
	}
	return fmt.Errorf("nothing was shown: the relay delivered %s; tell the relay's operator, or use another relay (%w)",
		r, err)
}
