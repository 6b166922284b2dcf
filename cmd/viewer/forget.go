package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
)

var forgetHelp = cli.Help{
	Name: "viewer forget",
	Text: `viewer forget "front door"

Removes a camera (a NAME or ID from viewer list) from this device. The camera
still knows this viewer: remove it there too.
`,
}

func (c *command) forget(_ context.Context, args []string) error {
	name, err := c.parse(forgetHelp, flag.NewFlagSet("forget", flag.ContinueOnError), args, "NAME")
	if err != nil {
		return err
	}
	if err := c.viewer.Forget(name); err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "forgot %s on this device\n", name)
	return nil
}
