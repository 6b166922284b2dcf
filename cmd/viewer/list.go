package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"text/tabwriter"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/printable"
)

var listHelp = cli.Help{
	Name: "viewer list",
	Text: `viewer list

Lists the cameras this viewer is paired with: name, id, relay and pairing date.
The other commands accept a name or an id.
`,
}

func (c *command) list(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("list", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print a JSON array")
	if _, err := c.parse(listHelp, fs, args, ""); err != nil {
		return err
	}

	cameras := c.viewer.Cameras()
	if *asJSON {
		encoder := json.NewEncoder(printable.Writer(c.stdout))
		encoder.SetIndent("", "  ")
		return encoder.Encode(cameras)
	}
	if len(cameras) == 0 {
		_, err := fmt.Fprintln(c.stderr, "no cameras yet: pair one with viewer pair URI")
		return err
	}

	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tID\tRELAY\tPAIRED")
	for _, camera := range cameras {
		paired := camera.PairedAt.Local().Format("2006-01-02 15:04")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable.Name(camera.Name), camera.ID, camera.RelayURL, paired)
	}
	return table.Flush()
}
