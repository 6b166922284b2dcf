// Package between stands between a relay's signaling and its clients, with the WebSocket connections of both in hand: every message of
// either is given to a Handler, which passes it on, or does not, or says something else. It is for tests of what a
// relay, or whoever sits before it, can do. It adds nothing of its own, and must never be linked into a command that people run.
package between

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

// Handler is given what both sides say. Its methods are called from the connections' goroutines: FromClient and FromRelay of one
// connection each in order, and Closed after all of them.
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

// ToClient sends a message as the relay; false: it could not be sent, and the connection ends.
func (c *Conn) ToClient(message []byte) bool { return c.write(c.client, message) }

// ToRelay sends a message as the client; false: it could not be sent, and the connection ends.
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

// Serve serves one client, for whom it makes a connection of its own to the relay at relayURL. It returns when either half has ended.
func Serve(w http.ResponseWriter, r *http.Request, relayURL string, h Handler) {
	dialing, cancel := context.WithTimeout(r.Context(), dialTimeout)
	relay, _, err := websocket.Dial(dialing, "ws"+relayURL[len("http"):]+signaling.Path, &websocket.DialOptions{Subprotocols: []string{signaling.Subprotocol}})
	cancel()
	if err != nil {
		http.Error(w, "the relay behind is away", http.StatusBadGateway)
		return
	}
	defer relay.CloseNow()
	client, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{signaling.Subprotocol}, InsecureSkipVerify: true})
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
