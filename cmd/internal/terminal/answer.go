package terminal

import (
	"bufio"
	"context"
	"io"
	"strings"
)

// ReadLine returns the next line without surrounding spaces, or what is left if the input ends; [io.EOF] if nothing is.
// It also returns when ctx ends, so that a person can interrupt a question; a line that comes later is lost.
func ReadLine(ctx context.Context, from *bufio.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := from.ReadString('\n')
		read <- result{line, err}
	}()

	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-read:
		if r.err != nil && (r.err != io.EOF || r.line == "") {
			return "", r.err
		}
		return strings.TrimSpace(r.line), nil
	}
}
