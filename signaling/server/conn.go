package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/coder/websocket"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// conn is one client's connection. Its reading goroutine owns it.
type conn struct {
	server *Server
	ws     *websocket.Conn
	addr   netip.Addr
	nonce  [32]byte
	out    chan []byte
	slow   context.CancelFunc // ends a connection that does not read
	boxes  map[signaling.Name]*opened
}

// opened is what the connection may do with a mailbox.
type opened struct {
	read, write bool
	stop        func() // ends the subscription; nil without one
}

func newConn(s *Server, ws *websocket.Conn, addr netip.Addr) *conn {
	c := &conn{server: s, ws: ws, addr: addr, out: make(chan []byte, outQueue), boxes: make(map[signaling.Name]*opened)}
	rand.Read(c.nonce[:])
	return c
}

func (c *conn) run(ctx context.Context) {
	ctx, c.slow = context.WithCancel(ctx)
	defer c.slow()
	done := make(chan struct{})
	go func() { defer close(done); c.write(ctx) }()
	c.send(signaling.Challenge{Nonce: c.nonce, Time: uint64(time.Now().UnixMilli())})
	c.read(ctx)
	now := time.Now()
	for name, o := range c.boxes {
		c.release(name, o, now)
	}
	c.slow()
	<-done
}

func (c *conn) release(name signaling.Name, o *opened, now time.Time) {
	if o.stop != nil {
		o.stop()
	}
	delete(c.boxes, name)
	c.server.store.leave(name, now)
}

// send queues a frame. A client that does not read loses its connection, and nothing else: what was stored comes again.
func (c *conn) send(f signaling.Frame) {
	select {
	case c.out <- signaling.Append(nil, f):
	default:
		c.server.Stats.SlowReaders.Add(1)
		c.slow()
	}
}

func (c *conn) write(ctx context.Context) {
	defer c.slow()
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			c.ws.Close(websocket.StatusGoingAway, "")
			return
		case b := <-c.out:
			writing, cancel := context.WithTimeout(ctx, writeTimeout)
			err := c.ws.Write(writing, websocket.MessageBinary, b)
			cancel()
			if err != nil {
				return
			}
		case <-ticker.C:
			waiting, cancel := context.WithTimeout(ctx, silence-pingEvery)
			err := c.ws.Ping(waiting)
			cancel()
			if err != nil {
				return
			}
		}
	}
}

func (c *conn) read(ctx context.Context) {
	for {
		kind, b, err := c.ws.Read(ctx)
		if err != nil {
			return
		}
		f, err := signaling.Parse(b)
		if err != nil || kind != websocket.MessageBinary {
			c.server.Stats.BadFrames.Add(1)
			c.send(signaling.Refused{Code: signaling.CodeMalformed, Text: "malformed frame"})
			return
		}
		if !c.handle(f) {
			return
		}
	}
}

// handle obeys one frame; false ends the connection.
func (c *conn) handle(f signaling.Frame) bool {
	now := time.Now()
	switch f := f.(type) {
	case signaling.Open:
		c.reply(f.ID, c.open(f, now))
	case signaling.Post:
		c.reply(f.ID, c.post(f, now))
	case signaling.Ack:
		if o := c.boxes[f.Name]; o != nil && o.read {
			c.server.store.ack(f.Name, f.Seq)
		}
	case signaling.GrantRequest:
		c.grant(f, now)
	case signaling.Close:
		if o := c.boxes[f.Name]; o != nil {
			c.release(f.Name, o, now)
		}
	default: // a server's frame
		c.server.Stats.BadFrames.Add(1)
		c.send(signaling.Refused{Code: signaling.CodeMalformed, Text: "not a client's frame"})
		return false
	}
	return true
}

func (c *conn) reply(id uint32, err *signaling.Error) {
	if err != nil {
		c.server.Stats.Refused.Add(1)
		c.send(signaling.Refused{ID: id, Code: err.Code, Text: err.Text})
		return
	}
	c.send(signaling.OK{ID: id})
}

func (c *conn) open(f signaling.Open, now time.Time) *signaling.Error {
	if !f.Verify(c.server.cfg.PublicURL, c.nonce) {
		c.server.Stats.BadSignatures.Add(1)
		return &signaling.Error{Code: signaling.CodeSignature, Text: "signature does not verify: is this relay known by another URL?"}
	}
	who, refused := c.account(f.Ticket, now)
	if refused != nil {
		return refused
	}
	name := signaling.NameOf(f.ReadKey, f.WriteKey)
	o := c.boxes[name]
	if o == nil {
		if len(c.boxes) >= mailboxesConn {
			return errQuota
		}
		if err := c.server.store.open(name, who, string(f.Ticket) == signaling.PairingTicket, now); err != nil {
			return err
		}
		o = &opened{}
		c.boxes[name] = o
	}
	c.server.Stats.Opened.Add(1)
	if f.Access == signaling.Write {
		o.write = true
		return nil
	}
	if o.read {
		return nil
	}
	o.read = true
	deliver := func(m bus.Message) {
		c.server.Stats.Delivered.Add(1)
		c.send(signaling.Deliver{Name: name, Seq: m.Seq, Body: m.Body})
	}
	c.server.store.attach(name, now, func() { o.stop = c.server.cfg.Bus.Subscribe(name, deliver) }, deliver)
	return nil
}

func (c *conn) post(f signaling.Post, now time.Time) *signaling.Error {
	if o := c.boxes[f.Name]; o == nil || !o.write {
		return &signaling.Error{Code: signaling.CodeNotOpened, Text: "mailbox is not open for writing on this connection"}
	}
	if len(f.Body) > signaling.MaxBody {
		return errTooLarge
	}
	if err := c.server.store.post(f.Name, f.Body, time.Duration(f.TTL)*time.Second, now, c.server.cfg.Bus); err != nil {
		return err
	}
	c.server.Stats.Posted.Add(1)
	return nil
}

func (c *conn) grant(f signaling.GrantRequest, now time.Time) {
	if o := c.boxes[f.Name]; o == nil || !o.write {
		c.reply(f.ID, &signaling.Error{Code: signaling.CodeNotOpened, Text: "mailbox is not open for writing on this connection"})
		return
	}
	if c.server.cfg.Granter == nil {
		c.reply(f.ID, &signaling.Error{Code: signaling.CodeNotAdmitted, Text: "this relay grants no ice servers"})
		return
	}
	if err := c.server.store.charge(f.Name, now); err != nil {
		c.reply(f.ID, err)
		return
	}
	grant, err := c.server.cfg.Granter.Grant(now)
	var text []byte
	if err == nil {
		text, err = json.Marshal(grant)
	}
	if err != nil {
		c.server.cfg.Logger.Error("grant ice servers", "err", err)
		c.reply(f.ID, &signaling.Error{Code: signaling.CodeClosing, Text: "no ice servers now: try again later"})
		return
	}
	c.server.Stats.Granted.Add(1)
	c.send(signaling.Granted{ID: f.ID, JSON: text})
}

// account is who admits a mailbox opened with a ticket; nil: nobody, the mailbox waits for its owner.
func (c *conn) account(ticket []byte, now time.Time) (*account, *signaling.Error) {
	source := &account{key: "addr " + c.addr.String(), maxBoxes: boxesPerAccount, maxGrants: grantsPerHour, local: c.addr.IsLoopback()}
	switch {
	case string(ticket) == signaling.PairingTicket:
		return source, nil
	case c.server.cfg.TicketKey == nil:
		return source, nil
	case len(ticket) == 0:
		return nil, nil
	}
	t, err := signaling.ParseTicket(ticket, c.server.cfg.TicketKey, now)
	if err != nil {
		return nil, &signaling.Error{Code: signaling.CodeSignature, Text: err.Error()}
	}
	return &account{key: "ticket " + string(t.ID[:]), maxBoxes: int(t.Mailboxes), maxGrants: int(t.SessionsPerHour)}, nil
}
