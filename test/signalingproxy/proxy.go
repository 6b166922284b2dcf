// Package signalingproxy stands between a relay's signaling and its clients, and holds the WebSocket connections of
// both. It passes every message of either to a Handler, which forwards it, drops it, or sends something else. It is for
// tests of what a relay, or anybody in front of it, can do. It adds nothing of its own, and must never be linked into a
// command that people run.
package signalingproxy

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
)

const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 5 * time.Second
)

// Handler receives what both sides say. The connections' goroutines call its methods: FromClient and FromRelay in order
// for each connection, and Closed after all of them.
type Handler interface {
	Opened(*Conn)
	FromClient(c *Conn, message []byte)
	FromRelay(c *Conn, message []byte)
	Closed(*Conn)
}

// Conn is one client's connection, both halves of it.
type Conn struct {
	ctx           context.Context
	client, relay *websocket.Conn
}

// ToClient sends a message as the relay. It returns false if the message could not be sent; the connection then ends.
func (c *Conn) ToClient(message []byte) bool { return c.write(c.client, message) }

// ToRelay sends a message as the client. It returns false if the message could not be sent; the connection then ends.
func (c *Conn) ToRelay(message []byte) bool { return c.write(c.relay, message) }

// Close ends both halves, without a goodbye.
func (c *Conn) Close() {
	c.client.CloseNow()
	c.relay.CloseNow()
}

func (c *Conn) write(to *websocket.Conn, message []byte) bool {
	ctx, cancel := context.WithTimeout(c.ctx, writeTimeout)
	defer cancel()
	return to.Write(ctx, websocket.MessageBinary, message) == nil
}

// Serve serves one client, over a connection of its own to the relay at relayURL. It returns when either half has
// ended.
func Serve(w http.ResponseWriter, r *http.Request, relayURL string, h Handler) {
	dialing, cancel := context.WithTimeout(r.Context(), dialTimeout)
	relay, _, err := websocket.Dial(dialing, "ws"+relayURL[len("http"):]+signaling.Path,
		&websocket.DialOptions{Subprotocols: []string{signaling.Subprotocol}})
	cancel()
	if err != nil {
		http.Error(w, "the relay behind is away", http.StatusBadGateway)
		return
	}

	defer relay.CloseNow()
	client, err := websocket.Accept(w, r,
		&websocket.AcceptOptions{Subprotocols: []string{signaling.Subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}

	defer client.CloseNow()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	c := &Conn{ctx: ctx, client: client, relay: relay}
	h.Opened(c)
	var halves sync.WaitGroup

	half := func(from *websocket.Conn, handle func(*Conn, []byte)) {
		defer cancel()
		from.SetReadLimit(signaling.MaxFrame)
		for {
			_, message, err := from.Read(ctx)
			if err != nil {
				return
			}
			handle(c, message)
		}
	}

	halves.Go(func() { half(client, h.FromClient) })
	halves.Go(func() { half(relay, h.FromRelay) })
	halves.Wait()
	h.Closed(c)
}
