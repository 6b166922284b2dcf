package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/peephole-cam/peephole/cmd/internal/terminal"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/redact"
)

// person is whoever started the camera at a terminal, and can be asked what an input was meant to be.
type person struct {
	stdin  *os.File
	stderr io.Writer
}

// newPerson returns nil if there is nobody to ask, because standard input is not a terminal.
func newPerson(stdin *os.File, stderr io.Writer) *person {
	if !term.IsTerminal(int(stdin.Fd())) {
		return nil
	}
	return &person{stdin, stderr}
}

// meant asks whether an input that cannot be opened was meant to be the URL that err suggests, and returns the URL; ""
// if the answer is no, or if there is nothing or nobody to ask.
func (p *person) meant(ctx context.Context, err error) string {
	var guess *media.GuessError
	if p == nil || !errors.As(err, &guess) {
		return ""
	}

	if err := terminal.DiscardTypeahead(p.stdin); err != nil {
		return ""
	}
	fmt.Fprintf(p.stderr, "Did you mean %s? [Y/n] ", redact.Text(guess.Shown))
	answer, err := terminal.ReadLine(ctx, bufio.NewReader(p.stdin))
	switch strings.ToLower(answer) {
	case "", "y", "yes":
		if err == nil {
			return guess.URL()
		}
	}
	return ""
}
