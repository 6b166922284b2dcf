package signalingtest

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
)

// patience ends what hangs: a client that waits for so long has failed.
const patience = 2 * time.Minute

// Client is a connection to a real relay that sends exactly what a test wants. Only one goroutine may use it.
type Client struct {
	Conn
	Nonce     [32]byte // the relay's challenge, which an Open must sign
	Delivered int      // messages that Ask has skipped
	t         testing.TB
}

// Dial connects to the relay at url from an address of this machine, such as "127.0.0.2". The connection ends with the
// test.
func Dial(t testing.TB, url, from string) *Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	dialing, stop := context.WithTimeout(ctx, patience)
	defer stop()

	ws, _, err := websocket.Dial(dialing, "ws"+url[len("http"):]+signaling.Path,
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: transport},
			Subprotocols: []string{signaling.Subprotocol}})
	if err != nil {
		t.Fatalf("dial %s from %s: %v", url, from, err)
	}

	ws.SetReadLimit(signaling.MaxFrame)
	t.Cleanup(func() { ws.CloseNow() })
	c := &Client{Conn: Conn{ws, ctx}, t: t}
	challenge, ok := c.Next().(signaling.Challenge)
	if !ok {
		t.Fatal("the relay's first frame is no challenge")
	}

	c.Nonce = challenge.Nonce

	return c
}

// Next waits for the relay's next frame.
func (c *Client) Next() signaling.Frame {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	f, err := Conn{c.ws, ctx}.Read()
	if err != nil {
		c.t.Fatalf("read the relay's next frame: %v", err)
	}
	return f
}

// Ask sends a request and returns its answer, skipping deliveries meanwhile.
func (c *Client) Ask(f signaling.Frame) signaling.Frame {
	c.t.Helper()
	if !c.Say(f) {
		c.t.Fatalf("the relay has ended the connection before %T", f)
	}
	for {
		answer := c.Next()
		if _, ok := answer.(signaling.Deliver); !ok {
			return answer
		}
		c.Delivered++
	}
}

// Beat sends a heartbeat (RFC 6455, section 5.5.2) and waits until it is answered.
func (c *Client) Beat() error {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- c.ws.Ping(ctx) }()
	for {
		c.Ask(signaling.GrantRequest{}) // the answer to a ping is only noticed while something is read
		select {
		case err := <-answered:
			return err
		default:
		}
	}
}
