package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"text/tabwriter"

	"github.com/peephole-cam/peephole/session"
)

func (c *command) list(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("list", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print a JSON array")
	if _, err := c.arguments(fs, args, ""); err != nil {
		return err
	}
	cameras := c.viewer.Cameras()
	if *asJSON {
		encoder := json.NewEncoder(c.stdout)
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
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", session.Printable(camera.Name), camera.ID, camera.RelayURL, camera.PairedAt.Local().Format("2006-01-02 15:04"))
	}
	return table.Flush()
}
