package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pion/logging"

	"github.com/peephole-cam/peephole/session/turnclient"
)

// config is what the command line says.
type config struct {
	method     string
	camera     bool   // the role; the other one is the viewer's
	size       int    // of the object, in bytes
	dir        string // where the viewer writes it
	password   string // of both ends' ICE agents, if the method is quic
	turn       string // a TURN server's URL; "": none
	username   string
	credential string
	relayOnly  bool
	watched    bool // the camera sends as if it also sent a live picture
}

var errUsage = errors.New("want [FLAGS] quic or sctp, and camera or viewer")

func parseConfig(args []string) (c config, err error) {
	flags := flag.NewFlagSet("bulkends", flag.ContinueOnError)
	flags.IntVar(&c.size, "size", 1<<20, "the object's size in bytes")
	flags.StringVar(&c.dir, "dir", ".", "where the viewer writes the object")
	flags.StringVar(&c.password, "password", "", "the ICE agents' password; 22 characters or more, for quic")
	flags.StringVar(&c.turn, "turn", "", "a TURN server's URL")
	flags.StringVar(&c.username, "username", "", "the username for the TURN server")
	flags.StringVar(&c.credential, "credential", "", "the credential for the TURN server")
	flags.BoolVar(&c.relayOnly, "relay-only", false, "show the other end only the relay's address")
	flags.BoolVar(&c.watched, "watched", false, "let the camera yield, as if somebody watched it too")
	if err := flags.Parse(args); err != nil {
		return c, err
	}

	role := flags.Arg(1)
	c.method, c.camera = flags.Arg(0), role == "camera"
	if flags.NArg() != 2 || !c.camera && role != "viewer" || c.size < 1 {
		return c, errUsage
	}
	return c, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	c, err := parseConfig(os.Args[1:])
	if err == nil {
		err = run(ctx, c)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "bulkends:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) error {
	switch c.method {
	case "quic":
		return runQUIC(ctx, c)
	case "sctp":
		return runSCTP(ctx, c)
	}
	return errUsage
}

// client returns the client with whose sockets either method reaches the relay and the world.
func (c config) client(ctx context.Context) (*turnclient.Client, error) {
	var urls []string
	if c.turn != "" {
		urls = append(urls, c.turn)
	}
	return turnclient.New(ctx, turnclient.Config{URLs: urls, Username: c.username, Credential: c.credential})
}

// file returns the path that the viewer writes to.
func (c config) file() string { return filepath.Join(c.dir, "object") }

// object returns the object, the same at each call.
func (c config) object() []byte {
	data := make([]byte, c.size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // has no error
	return data
}

// done says that the viewer has everything, and verified it.
func (c config) done(took time.Duration, relayed bool) {
	fmt.Printf("done %d %.6f relayed=%t\n", c.size, took.Seconds(), relayed)
}

// loggers make pion's loggers, which write errors to standard error.
func loggers() logging.LoggerFactory { return logging.NewDefaultLoggerFactory() }
