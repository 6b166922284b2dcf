package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/terminal"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/viewer"
)

// errDeclined tells a person who did not answer yes that nothing has happened.
var errDeclined = errors.New("not paired: nothing was sent")

// maxLine bounds a line read from standard input, in bytes. It leaves room for a code and the text around it.
const maxLine = 4096

var pairHelp = cli.Help{
	Name: "viewer pair",
	Text: `viewer pair 'https://relay.example/pair#…'

Pairs with the camera that shows this link or code; - reads the link from
standard input. In a terminal you see the relay and three words first, compare
them with those that the camera shows, and confirm.
`,
}

func (c *command) pair(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("pair", flag.ContinueOnError)
	yes := fs.Bool("yes", false, "pair without asking; the relay and the words are still printed")
	text, err := c.parse(pairHelp, fs, args, "URI")
	if err != nil {
		return err
	}

	stdin := bufio.NewReader(io.LimitReader(c.stdin, 2*maxLine))
	if text == "-" {
		if text, err = terminal.ReadLine(ctx, stdin); err != nil && err != io.EOF {
			return fmt.Errorf("read code from standard input: %w", err)
		}
	}
	if fields := strings.Fields(text); len(fields) > 1 { // the whole line that a camera prints: pair NAME URI
		text = fields[len(fields)-1]
	}
	code, err := viewer.ReadCode(text)
	if err != nil {
		return fmt.Errorf("pair: %w", err)
	}

	if err := c.confirm(ctx, code, *yes, stdin); err != nil {
		return fmt.Errorf("pair: %w", err)
	}
	camera, err := c.viewer.Pair(ctx, code)
	if err != nil {
		return fmt.Errorf("pair: %w", err)
	}

	words := strings.Join(pairing.DeviceWords(c.viewer.Fingerprint()), " ")
	fmt.Fprintf(c.stderr, "the camera calls this viewer: %s\n", words)
	_, err = fmt.Fprintf(c.stdout, "paired %s with camera %s\n", printable.Name(camera.Name), camera.ID)
	return err
}

// confirm shows where the code leads, and returns nil once a person has agreed. Nothing is sent before that. If
// standard input is not a terminal there is nobody to ask: running the command was the decision.
func (c *command) confirm(ctx context.Context, code pairing.Code, yes bool, stdin *bufio.Reader) error {
	c.describeCode(code)
	file, ok := c.stdin.(*os.File)
	if yes || !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}

	if err := terminal.DiscardTypeahead(file); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	fmt.Fprint(c.stderr, "Your camera shows the same three words beside its code. Whoever owns that camera will see\n"+
		"when you watch, and your IP address. If you did not expect this, say no.\n\nPair? [y/N] ")
	answer, err := terminal.ReadLine(ctx, stdin)
	switch {
	case ctx.Err() != nil, err == io.EOF:
		return errDeclined
	case err != nil:
		return fmt.Errorf("read answer: %w", err)
	case !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes"):
		return errDeclined
	}
	return nil
}

// describeCode prints what a person needs to know about a code before using it.
func (c *command) describeCode(code pairing.Code) {
	question := "Add a NEW camera?"
	if known, ok := c.viewer.Paired(code); ok {
		question = fmt.Sprintf("You already have this camera: %s. Pair with it again?", printable.Name(known.Name))
	}
	words := strings.Join(code.Words(), " ")
	fmt.Fprintf(c.stderr, "%s\n\n  words  %s\n  relay  %s\n\n", question, words, code.RelayURL)

	if time.Now().After(code.Expiry) {
		fmt.Fprintln(c.stderr, "This code has expired by this machine's clock. If it does not work, show a new one.")
	}
}
