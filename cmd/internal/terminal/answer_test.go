package terminal

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadLine(t *testing.T) {
	for _, tt := range []struct {
		name, input, want string
		err               error
	}{
		{"a line", " yes \nno\n", "yes", nil},
		{"an empty line", "\n", "", nil},
		{"a last line without an end", "yes", "yes", nil},
		{"nothing", "", "", io.EOF},
	} {
		got, err := ReadLine(t.Context(), bufio.NewReader(strings.NewReader(tt.input)))
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestReadLineEndsWithItsContext(t *testing.T) {
	silent, typed := io.Pipe()
	defer typed.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if line, err := ReadLine(ctx, bufio.NewReader(silent)); !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", line, err)
	}
}
