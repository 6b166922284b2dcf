package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

const (
	replayBatch     = 8
	framesPerSecond = 500
	framesAtOnce    = 2 * mailboxesPerConn // a client that comes back opens all its mailboxes
)

// conn is one client's connection. Its reading goroutine owns what is not said to be another's.
type conn struct {
	server *Server
	ws     *websocket.Conn
	addr   netip.Addr
	nonce  [32]byte
	out    *outbox
	cancel context.CancelFunc // ends the connection at once
	boxes  map[signaling.Name]*opened
	rate   *rate.Limiter

	delivered delivered
}

// opened is what the connection may do with a mailbox.
type opened struct {
	write   bool
	owner   bool    // opened with a ticket
	reading *replay // nil: not open for reading
	stop    func()  // ends the subscription
}

func newConn(s *Server, ws *websocket.Conn, addr netip.Addr) *conn {
	c := &conn{
		server: s, ws: ws, addr: addr, out: newOutbox(), boxes: make(map[signaling.Name]*opened),
		rate: rate.NewLimiter(framesPerSecond, framesAtOnce),
	}
	rand.Read(c.nonce[:])
	return c
}

// run serves the connection until it ends or stop does.
func (c *conn) run(stop context.Context) {
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(stop))
	defer c.cancel()
	c.send(signaling.Challenge{Nonce: c.nonce, Time: uint64(time.Now().UnixMilli())})
	var others sync.WaitGroup
	others.Go(func() { c.write(ctx) })
	others.Go(func() { c.ping(ctx) })
	unregister := context.AfterFunc(stop, func() {
		c.send(signaling.Refused{Code: signaling.CodeClosing, Text: "the relay is shutting down"})
		c.finish()
	})
	c.read(ctx)
	unregister()
	now := time.Now()
	for name, o := range c.boxes {
		c.release(name, o, now)
	}
	c.finish()
	others.Wait()
}

// finish ends the connection once what is queued is written, or after a while.
func (c *conn) finish() {
	c.out.finish()
	time.AfterFunc(finishTimeout, c.cancel)
}

func (c *conn) release(name signaling.Name, o *opened, now time.Time) {
	if o.reading != nil {
		o.stop()
		o.reading.gone.Store(true)
	}
	delete(c.boxes, name)
	c.server.addBoxes(c.addr, -1)
	c.server.store.leave(name, now)
}

// send queues a frame. A client that does not read loses its connection, and nothing else: what was stored comes again.
func (c *conn) send(f signaling.Frame) {
	if !c.out.push(f) {
		c.server.Stats.SlowReaders.Add(1)
		c.cancel()
	}
}

func (c *conn) write(ctx context.Context) {
	defer c.cancel()
	for {
		frames, r, finished := c.out.take()
		for _, b := range frames {
			if !c.writeFrame(ctx, b) {
				return
			}
		}
		switch {
		case r != nil && !c.writeStored(ctx, r):
			return
		case finished:
			c.ws.Close(websocket.StatusGoingAway, "") // a client that has gone needs none
			return
		case len(frames) > 0 || r != nil:
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.out.wake:
		}
	}
}

func (c *conn) writeFrame(ctx context.Context, b []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageBinary, b) == nil
}

// writeStored writes the next few stored messages of a mailbox; false: the connection has ended.
func (c *conn) writeStored(ctx context.Context, r *replay) bool {
	if r.gone.Load() {
		return true
	}
	for _, m := range c.server.store.next(r.name, r.from, replayBatch, time.Now(), func() { r.live.Store(true) }) {
		c.delivered.add(r.name, m.Seq, m.Node)
		if !c.writeFrame(ctx, signaling.Append(nil, signaling.Deliver{Name: r.name, Seq: m.Seq, Body: m.Body})) {
			return false
		}
		c.server.Stats.Delivered.Add(1)
		r.from = m.Seq + 1
	}
	if !r.live.Load() {
		c.out.replay(r)
	}
	return true
}

func (c *conn) ping(ctx context.Context) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			waiting, cancel := context.WithTimeout(ctx, silence-pingEvery)
			err := c.ws.Ping(waiting)
			cancel()
			if err != nil {
				c.cancel()
				return
			}
		}
	}
}

func (c *conn) read(ctx context.Context) {
	for {
		kind, b, err := c.ws.Read(ctx)
		if err != nil || c.rate.Wait(ctx) != nil {
			return
		}
		f, err := signaling.Parse(b)
		if err != nil || kind != websocket.MessageBinary || !c.handle(f) {
			c.server.Stats.BadFrames.Add(1)
			c.send(signaling.Refused{Code: signaling.CodeMalformed, Text: "not a client's frame of protocol version 2"})
			return
		}
	}
}

// handle obeys one frame; false: it is not a client's.
func (c *conn) handle(f signaling.Frame) bool {
	now := time.Now()
	switch f := f.(type) {
	case signaling.Open:
		name := signaling.NameOf(f.ReadKey, f.WriteKey)
		err := c.open(name, f, now)
		c.reply(f.ID, err)
		if err == nil && f.Access == signaling.Read {
			c.deliver(name)
		}
	case signaling.Post:
		c.reply(f.ID, c.post(f, now))
	case signaling.Ack:
		if o := c.boxes[f.Name]; o != nil && o.reading != nil {
			c.server.store.ack(f.Name, f.Seq)
		}
	case signaling.Reject:
		c.reject(f, now)
	case signaling.GrantRequest:
		c.grant(f, now)
	case signaling.Close:
		if o := c.boxes[f.Name]; o != nil {
			if o.owner {
				c.server.store.disown(f.Name)
			}
			c.release(f.Name, o, now)
		}
	default:
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

func (c *conn) open(name signaling.Name, f signaling.Open, now time.Time) *signaling.Error {
	if !f.Verify(c.server.cfg.PublicURL, c.nonce) {
		c.server.Stats.BadSignatures.Add(1)
		return &signaling.Error{Code: signaling.CodeSignature, Text: "signature does not verify: is this relay known by another URL?"}
	}
	who, refused := c.account(f.Ticket, now)
	if refused != nil {
		return refused
	}
	o := c.boxes[name]
	first := o == nil
	if first && (len(c.boxes) >= mailboxesPerConn || !c.server.addBoxes(c.addr, 1)) {
		return errQuota
	}
	if err := c.server.store.open(name, first, who, now); err != nil {
		if first {
			c.server.addBoxes(c.addr, -1)
		}
		return err
	}
	if first {
		o = &opened{}
		c.boxes[name] = o
	}
	o.write = o.write || f.Access == signaling.Write
	o.owner = o.owner || who != nil && who.ticket
	c.server.Stats.Opened.Add(1)
	return nil
}

// deliver begins to deliver a mailbox: first what is stored, then what comes. A client that opens for reading what it has open begins
// again: it has stopped listening meanwhile, without closing what it still writes to.
func (c *conn) deliver(name signaling.Name) {
	o := c.boxes[name]
	if o.reading != nil {
		o.stop()
		o.reading.gone.Store(true)
	}
	r := &replay{name: name}
	o.reading = r
	o.stop = c.server.cfg.Bus.Subscribe(name, func(m bus.Message) {
		if m.Kept && !r.live.Load() {
			return // it will be found in the store
		}
		c.server.Stats.Delivered.Add(1)
		c.delivered.add(name, m.Seq, m.Node)
		c.send(signaling.Deliver{Name: name, Seq: m.Seq, Body: m.Body})
	})
	c.out.replay(r)
}

func (c *conn) post(f signaling.Post, now time.Time) *signaling.Error {
	if o := c.boxes[f.Name]; o == nil || !o.write {
		return errNotOpened
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
		c.reply(f.ID, errNotOpened)
		return
	}
	if c.server.cfg.Granter == nil {
		c.reply(f.ID, &signaling.Error{Code: signaling.CodeNotAdmitted, Text: "this relay grants no ICE servers"})
		return
	}
	payer, refused := c.server.store.charge(f.Name, now)
	if refused != nil {
		c.reply(f.ID, refused)
		return
	}
	grant, err := c.server.cfg.Granter.Grant(payer, now)
	var text []byte
	if err == nil {
		text, err = json.Marshal(grant)
	}
	if err != nil {
		c.server.cfg.Logger.Error("grant ice servers", "err", err)
		c.reply(f.ID, &signaling.Error{Code: signaling.CodeClosing, Text: "no ICE servers now: try again later"})
		return
	}
	c.server.Stats.Granted.Add(1)
	c.send(signaling.Granted{ID: f.ID, JSON: text})
}
