package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/peephole-cam/peephole/media"
)

// fromStdin, as the name of an input, stands for the next line of standard input.
const fromStdin = "-"

// inputs are the camera's video inputs. Each can be replaced while it is being read.
type inputs struct {
	flags    []string // as given: -input, and -input-low if there is one
	list     list
	opener   media.Opener
	person   *person  // nil if there is nobody to ask
	names    []string // what is being read
	switches []*media.Switch
}

// openInputs opens the inputs that the flags name.
func openInputs(ctx context.Context, flags []string, stdin *os.File, p *person, opener media.Opener) (*inputs, error) {
	in := &inputs{flags: flags, list: newList(stdin), opener: opener, person: p}
	names, err := in.readNames(stdin)
	if err != nil {
		return nil, err
	}
	sources, err := in.open(ctx, names)
	if err != nil {
		return nil, err
	}

	in.names = names
	for _, source := range sources {
		in.switches = append(in.switches, media.NewSwitch(source))
	}
	return in, nil
}

// readNames returns the names of the inputs: the flags, with a line of the list in place of each fromStdin.
func (in *inputs) readNames(list io.Reader) ([]string, error) {
	names := slices.Clone(in.flags)
	lines := bufio.NewScanner(list)
	for i, name := range names {
		if name != fromStdin {
			continue
		}
		line, err := nextName(lines)
		if err != nil {
			return nil, fmt.Errorf("read input from standard input: %w", err)
		}
		names[i] = line
	}

	return names, nil
}

var errNoName = errors.New("no line names one: write rtsp://… into the file, without a # before it")

// nextName returns the next line that is neither empty nor a comment. It removes quotes around the line, and the byte
// order mark that some editors put before it.
func nextName(lines *bufio.Scanner) (string, error) {
	for lines.Scan() {
		name := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if name == "" || name[0] == '#' {
			continue
		}
		if n := len(name) - 1; n > 1 && name[0] == name[n] && (name[0] == '"' || name[0] == '\'') {
			name = name[1:n]
		}

		return name, nil
	}
	return "", cmp.Or(lines.Err(), errNoName)
}

// open opens a source for each name, or nil if that input is being read already.
func (in *inputs) open(ctx context.Context, names []string) (sources []media.Source, err error) {
	for i, name := range names {
		if i < len(in.names) && in.names[i] == name {
			sources = append(sources, nil)
			continue
		}
		source, err := openInput(ctx, in.opener, name)
		if url := in.person.meant(ctx, err); url != "" {
			source, err = openInput(ctx, in.opener, url)
		}
		if err != nil && i > 0 {
			err = fmt.Errorf("-input-low: %w", err)
		}

		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	return sources, nil
}

// reload reads the list again and replaces the inputs that have changed. On an error nothing changes.
func (in *inputs) reload(ctx context.Context) error {
	if !slices.Contains(in.flags, fromStdin) {
		return nil
	}
	file, err := in.list.reopen()
	if errors.Is(err, errNoFile) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reload inputs: %w", err)
	}
	defer file.Close()

	names, err := in.readNames(file)
	if err != nil {
		return err
	}
	sources, err := in.open(ctx, names)
	if err != nil {
		return err
	}

	in.names = names
	for i, source := range sources {
		if source != nil {
			in.switches[i].Replace(source)
		}
	}

	return nil
}
