package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The messages' sizes in bytes.
const (
	challengeSize = 41
	openSize      = 210
	openedSize    = 34
	postSize      = 3000 // an offer, sealed
	maxMessage    = 1 << 16
)

// path is where the server serves both carriers.
const path = "/v1/signaling"

// config is what the command line says.
type config struct {
	role        string // "server" or "client"
	carrier     string // "websocket" or "webtransport"; the server serves both
	at          string // the server's IP:PORT, of TCP and UDP
	certificate string // the server's, a PEM file
	key         string // the server's alone, a PEM file
}

var errUsage = errors.New("want -at IP:PORT -certificate FILE, and server -key FILE or client and a carrier")

func parseConfig(args []string) (c config, err error) {
	flags := flag.NewFlagSet("signalends", flag.ContinueOnError)
	flags.StringVar(&c.at, "at", "", "the server's IP:PORT")
	flags.StringVar(&c.certificate, "certificate", "", "the server's certificate, a PEM file")
	flags.StringVar(&c.key, "key", "", "the server's key, a PEM file")
	if err := flags.Parse(args); err != nil {
		return c, err
	}

	c.role, c.carrier = flags.Arg(0), flags.Arg(1)
	if c.role != "server" && c.role != "client" {
		return c, errUsage
	}
	return c, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	c, err := parseConfig(os.Args[1:])
	if err == nil {
		err = c.run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "signalends:", err)
		os.Exit(1)
	}
}

func (c config) run(ctx context.Context) error {
	if c.role == "server" {
		return c.serve(ctx)
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(c.certificate)
	if err != nil {
		return err
	}
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificate in %s", c.certificate)
	}

	cl := &client{}
	switch trust := (&tls.Config{RootCAs: roots}); c.carrier {
	case "websocket":
		cl.dialer = &webSocketDialer{c.at, trust}
	case "webtransport":
		cl.dialer = &webTransportDialer{c.at, trust}
	default:
		return errUsage
	}
	fmt.Println("ready")
	return cl.obey(ctx)
}

// messageConn is a connection that carries messages in order.
type messageConn interface {
	Send(ctx context.Context, message []byte) error
	Receive(ctx context.Context) (message []byte, err error)
	Close()
}

// dialer makes connections by one carrier.
type dialer interface {
	Dial(ctx context.Context) (messageConn, error)
}

// mover is a connection that can go on from the network where the client is now.
type mover interface {
	Move(ctx context.Context) error
}

// client is a client of the server.
type client struct {
	dialer dialer
	conn   messageConn // nil: none
}

// obey does what standard input says, and says how long each thing took, in milliseconds, until ctx or the input ends.
func (c *client) obey(ctx context.Context) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			lines <- input.Text()
		}
	}()

	defer c.close()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			took, err := c.do(ctx, line)
			if err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
			fmt.Printf("took %.3f\n", took.Seconds()*1000)
		case <-ctx.Done():
			return nil
		}
	}
}

// do does one thing.
func (c *client) do(ctx context.Context, what string) (took time.Duration, err error) {
	began := time.Now()
	switch what {
	case "dial":
		c.close()
		began = time.Now()
		err = c.connect(ctx)
	case "post":
		err = c.post(ctx)
	case "move":
		err = c.move(ctx)
	default:
		err = errUsage
	}
	return time.Since(began), err
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// redialInterval is the same as package signaling's.
const redialInterval = 500 * time.Millisecond

// connect connects as package signaling does while somebody waits: it starts another attempt every redialInterval, and
// the first that opens a mailbox wins.
func (c *client) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opened := make(chan messageConn)
	attempt := func() {
		conn, err := c.dialer.Dial(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, "dial:", err)
			return
		}
		if err := open(ctx, conn); err != nil {
			fmt.Fprintln(os.Stderr, "open:", err)
			conn.Close()
			return
		}
		select {
		case opened <- conn:
		case <-ctx.Done():
			conn.Close()
		}
	}

	again := time.NewTicker(redialInterval)
	defer again.Stop()
	go attempt()
	for {
		select {
		case c.conn = <-opened:
			return nil
		case <-again.C:
			go attempt()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// open opens a mailbox.
func open(ctx context.Context, conn messageConn) error {
	if err := expect(ctx, conn, challengeSize); err != nil {
		return err
	}
	if err := conn.Send(ctx, make([]byte, openSize)); err != nil {
		return err
	}
	return expect(ctx, conn, openedSize)
}

func (c *client) post(ctx context.Context) error {
	if err := c.conn.Send(ctx, make([]byte, postSize)); err != nil {
		return err
	}
	return expect(ctx, c.conn, postSize)
}

// move posts from another network. A connection that cannot go on there in redialInterval is replaced.
func (c *client) move(ctx context.Context) error {
	if !c.taken(ctx) {
		c.close()
		if err := c.connect(ctx); err != nil {
			return err
		}
	}
	return c.post(ctx)
}

// taken reports whether the connection has been taken to the network where the client is now.
func (c *client) taken(ctx context.Context) bool {
	m, ok := c.conn.(mover)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, redialInterval)
	defer cancel()
	err := m.Move(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "move:", err)
	}
	return err == nil
}

// expect receives a message of some size.
func expect(ctx context.Context, conn messageConn, size int) error {
	message, err := conn.Receive(ctx)
	if err == nil && len(message) != size {
		err = fmt.Errorf("a message of %d bytes, want %d", len(message), size)
	}
	return err
}
