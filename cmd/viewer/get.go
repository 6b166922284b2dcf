package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/redact"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

// getTimeout is how long get waits to be connected by default.
const getTimeout = 30 * time.Second

var getHelp = cli.Help{
	Name: "viewer get",
	Text: `viewer get "front door" log -o log.txt

Gets something from a camera (a NAME or ID from viewer list), such as its log.
Without the ID of a thing it lists what there is. If it is interrupted,
FILE.part keeps what has arrived, and the same command goes on from there.
`,
}

func (c *command) get(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("get", flag.ContinueOnError)
	output := fs.String("o", "", "write to this `file`, once all of it is there")
	timeout := cli.Duration(fs, "timeout", getTimeout, time.Second, time.Hour,
		"wait up to this `time` to be connected")
	relayOnly := fs.Bool("relay-only", false,
		"hide your IP address from the camera's network: connect only through the relay's TURN server")
	positional, err := c.parseFlags(getHelp, fs, args)
	if err != nil {
		return err
	}
	name, id, err := checkGet(positional, *output)
	if err != nil {
		return err
	}

	bar := &progress{name: printable.Name(id), stderr: c.stderr}
	if c.screen != nil {
		bar.screen = c.screen
	}
	c.stderr = bar
	defer bar.stop()
	if err := c.open(); err != nil {
		return err
	}

	g := &getting{
		command:   c,
		name:      name,
		id:        id,
		output:    *output,
		timeout:   *timeout,
		relayOnly: *relayOnly,
		bar:       bar,
		rejected:  rejections{stderr: c.stderr},
	}
	switch {
	case id == "":
		return g.list(ctx)
	case g.output == "":
		return g.suggestOutput(ctx)
	}
	return g.run(ctx)
}

// checkGet returns the camera and the ID of the thing that a command line names; the ID may be empty.
func checkGet(positional []string, output string) (name, id string, err error) {
	switch len(positional) {
	case 1:
		name = positional[0]
	case 2:
		name, id = positional[0], positional[1]
	default:
		return "", "", errors.New("get takes one or two arguments, NAME and ID: see viewer get -h")
	}

	switch {
	case output == "-":
		return "", "", errors.New("get cannot write to standard output, since a transfer that broke goes on " +
			"in its file: say -o FILE")
	case output != "" && id == "":
		return "", "", errors.New("no ID of what to get: leave out -o to list what there is")
	case output != "":
		return name, id, checkOutput(output)
	}
	return name, id, nil
}

// checkOutput returns nil unless something is at path that a file cannot replace.
func checkOutput(path string) error {
	info, err := os.Stat(path)
	switch {
	case os.IsPathSeparator(path[len(path)-1]), err == nil && info.IsDir():
		return fmt.Errorf("-o %s is a folder: say -o %s", path, filepath.Join(path, "FILE"))
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("-o %s is no file that could go on later: choose another name", path)
	}
	return nil
}

// getting is one run of get.
type getting struct {
	*command
	name, id  string // of the camera, and of what it offers
	output    string
	timeout   time.Duration
	relayOnly bool
	bar       *progress
	rejected  rejections
}

// run gets the thing.
func (g *getting) run(ctx context.Context) (err error) {
	if !validID.MatchString(g.id) {
		return g.notOffered(ctx)
	}

	file, err := bulk.OpenFile(g.output)
	switch {
	case errors.Is(err, bulk.ErrDiskFull):
		return g.explain(ctx, err)
	case err != nil:
		return fmt.Errorf("%w; mend that, or choose another file with -o", err)
	}

	var info bulk.Info
	err = g.connect(ctx, func(ctx context.Context, options viewer.Get) (err error) {
		info, err = g.viewer.Get(ctx, g.name, g.id, file, options)
		return err
	})
	if errors.Is(err, bulk.ErrNotFound) {
		return errors.Join(g.notOffered(ctx), file.Close())
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return g.explain(ctx, err)
	}
	g.bar.stop()

	fmt.Fprintf(g.stderr, "wrote %s (%s)\n", g.output, formatBytes(info.Size))
	return nil
}

// connect calls do, shows the person how it goes, and cancels do if it has not connected in time.
func (g *getting) connect(ctx context.Context, do func(context.Context, viewer.Get) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(g.timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	line := &waitLine{stderr: g.stderr, until: time.Now().Add(g.timeout), why: "connecting to the camera"}
	go line.run(ctx)
	defer line.stop()

	err := do(ctx, viewer.Get{
		RelayOnly:  g.relayOnly,
		OnProgress: g.bar.report,
		OnPath: func(bool) {
			timer.Stop()
			line.stop()
		},
		OnRetry: func(err error) {
			g.bar.pause()
			fmt.Fprintf(g.stderr, "%v; trying again\n", err)
		},
		OnReject: g.rejected.count,
	})
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		err = fmt.Errorf("no connection to the camera within %s: run viewer doctor, or say -timeout %s to wait longer",
			g.timeout, min(4*g.timeout, time.Hour))
	}
	return err
}

// offered returns what the camera offers.
func (g *getting) offered(ctx context.Context) (offered []bulk.Info, err error) {
	err = g.connect(ctx, func(ctx context.Context, options viewer.Get) (err error) {
		offered, err = g.viewer.Offered(ctx, g.name, options)
		return err
	})
	if err != nil {
		return nil, g.explain(ctx, err)
	}
	return offered, nil
}

// list prints what the camera offers.
func (g *getting) list(ctx context.Context) error {
	offered, err := g.offered(ctx)
	if err != nil {
		return err
	}
	if len(offered) == 0 {
		return g.notAmong(offered)
	}
	return printOffered(g.stdout, offered)
}

// printOffered prints a table of what a camera offers.
func printOffered(to io.Writer, offered []bulk.Info) error {
	table := tabwriter.NewWriter(printable.Writer(to), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSIZE\tFILE")
	for _, info := range offered {
		size := "?"
		if info.Size >= 0 {
			size = formatBytes(info.Size)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", info.ID, size, info.Name)
	}
	return table.Flush()
}

var (
	// validID matches what may be the ID of something (package bulk).
	validID = regexp.MustCompile(`^[a-z0-9._/-]{1,128}$`)
	// plainName matches a file's name that can be typed into any shell as it is.
	plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

// suggestOutput returns the error of a command line without -o. It contains what the camera calls the file, if that is
// a name that anybody may write to.
func (g *getting) suggestOutput(ctx context.Context) error {
	offered, err := g.offered(ctx)
	if err != nil {
		return err
	}
	return g.outputError(offered)
}

// outputError is suggestOutput's, once it is known what the camera offers.
func (g *getting) outputError(offered []bulk.Info) error {
	i := slices.IndexFunc(offered, func(info bulk.Info) bool { return info.ID == g.id })
	if i < 0 {
		return g.notAmong(offered)
	}

	name := offered[i].Name
	if !plainName.MatchString(name) || bulk.CheckName(name) != nil || redact.Text(name) != name {
		name = "FILE"
	}
	return fmt.Errorf("no output file: say -o %s", name)
}

// notOffered returns the error of an ID that the camera does not offer.
func (g *getting) notOffered(ctx context.Context) error {
	offered, err := g.offered(ctx)
	if err != nil {
		return err
	}
	return g.notAmong(offered)
}

// maxIDs is how many IDs an error names.
const maxIDs = 8

// notAmong returns the error of something that is not among what the camera offers.
func (g *getting) notAmong(offered []bulk.Info) error {
	var ids []string
	for _, info := range offered[:min(len(offered), maxIDs)] {
		ids = append(ids, info.ID)
	}

	name, id := printable.Name(g.name), printable.Name(g.id)
	switch {
	case len(offered) == 0:
		return fmt.Errorf("%s has nothing to get now: try again later", name)
	case len(offered) > maxIDs:
		return fmt.Errorf("%s has no %q: run viewer get with its name alone to see all %d things that it has",
			name, id, len(offered))
	}
	return fmt.Errorf("%s has no %q: say one of %s", name, id, strings.Join(ids, ", "))
}

// oldCamera is part of the refusal from a camera that does not know bulk sessions: to it, the offer lacks its SDP.
const oldCamera = "parse offer: malformed session message"

// explain returns an error that says what to do.
func (g *getting) explain(ctx context.Context, err error) error {
	done, share := g.bar.arrived()
	again := ""
	if done > 0 {
		again = fmt.Sprintf("; %s.part keeps %s, and the same command goes on", g.output, share)
	}

	var refusal *session.Refusal
	switch {
	case ctx.Err() != nil && done == 0:
		return errors.New("interrupted before anything arrived")
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted%s", again)
	case errors.Is(err, bulk.ErrDiskFull):
		return fmt.Errorf("the disk is full: make room for %s and run the same command again; "+
			"%s.part keeps what arrived", g.output, g.output)
	case errors.As(err, &refusal) && strings.Contains(refusal.Text, oldCamera):
		return fmt.Errorf("%s is too old to be asked for more than pictures: update it", printable.Name(g.name))
	case errors.As(err, &refusal) && refusal.Code == session.BulkRefusal:
		return fmt.Errorf("%s offers nothing to get: update its program, or have it offer something",
			printable.Name(g.name))
	}
	return g.rejected.explain(fmt.Errorf("%w%s", err, again), int(done))
}
