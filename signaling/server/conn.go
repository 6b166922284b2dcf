package server

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

const (
	mailboxesPerConn = 4096
	framesPerSecond  = 500
	frameBurst       = 2 * mailboxesPerConn // because a client that reconnects opens all its mailboxes

	// maxBadSignatures bounds the bad signatures on one connection. A client that knows this relay by another URL makes
	// only bad ones.
	maxBadSignatures = 8

	replayBatch = 8
)

// conn is one client's connection. Its reading goroutine owns all fields that have no other mark.
type conn struct {
	server        *Server
	frames        frameConn
	origin        string // what the client signs besides the nonce
	nonce         [32]byte
	out           *outbox
	cancel        context.CancelFunc // ends the connection at once
	boxes         map[signaling.Name]*opened
	rate          *rate.Limiter
	badSignatures int

	stopping atomic.Bool // the relay is stopping

	outsider *outsider // nil unless it comes from outside to a private server

	// Who pays for the connection, which is its address or the first ticket that it showed, and what it has paid.
	address, account               *account
	connection, mailboxes, inbound *netlimit.Lease
	tickets                        []shownTicket

	place     func(netlimit.Payer) error // from Config.Place; nil if connections need no place
	placed    bool                       // place has accepted it
	placedFor netlimit.Payer             // the payer at that time

	delivered delivered
}

// opened is a mailbox that the connection has open, with what it may do there.
type opened struct {
	holder
	write bool
}

// newConn returns a connection for which an address pays. connection is what the address has already paid.
func newConn(s *Server, frames frameConn, who *account, connection *netlimit.Lease) *conn {
	c := &conn{
		server:     s,
		frames:     frames,
		origin:     s.cfg.PublicURL,
		boxes:      make(map[signaling.Name]*opened),
		rate:       rate.NewLimiter(framesPerSecond, frameBurst),
		address:    who,
		account:    who,
		connection: connection,
	}
	rand.Read(c.nonce[:])

	empty := func(p *netlimit.Pool) *netlimit.Lease {
		lease, _ := p.Acquire(who.payer, 0) // 0 is never refused
		return lease
	}
	c.mailboxes, c.inbound = empty(who.class.mailboxes), empty(who.class.buffers)
	c.out = newOutbox(empty(who.class.buffers))
	return c
}

// run serves the connection until the connection or stop ends.
func (c *conn) run(stop context.Context) {
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(stop))
	defer c.cancel()
	c.frames.Meter(func(frames int64) bool { return c.stopping.Load() || c.pay(ctx, frames*frameWork) })
	c.send(signaling.Challenge{Nonce: c.nonce, Time: c.server.timeForClients()})

	var others sync.WaitGroup
	others.Go(func() { c.writeLoop(ctx) })
	if !c.inProcess() {
		others.Go(func() { c.pingLoop(ctx) })
	}
	unregister := context.AfterFunc(stop, func() {
		c.stopping.Store(true)
		if c.outsider == nil {
			c.send(signaling.Refused{Code: signaling.CodeClosing, Text: "the relay is shutting down"})
		}
		c.finish()
	})

	c.readLoop(ctx)
	unregister()

	now := time.Now()
	for name, o := range c.boxes {
		c.closeMailbox(name, o, true, now)
	}
	c.finish()
	others.Wait()
	c.releaseLeases()
}

// releaseLeases gives back everything that was paid.
func (c *conn) releaseLeases() {
	for _, lease := range []*netlimit.Lease{c.connection, c.mailboxes, c.inbound, c.out.lease} {
		lease.Release()
	}
	for _, shown := range c.tickets {
		shown.account.ticket.removeUser()
	}
}

// finish ends the connection once the queue is written, or after finishTimeout.
func (c *conn) finish() {
	c.out.finish()
	time.AfterFunc(finishTimeout, c.cancel)
}

// closeMailbox gives up a mailbox. gone means that the connection has ended and the client may come back. closeMailbox
// returns the account whose admission ends with that, or nil.
func (c *conn) closeMailbox(name signaling.Name, o *opened, gone bool, now time.Time) (ended *account) {
	if o.reader != nil {
		o.reader.end()
	}
	delete(c.boxes, name)
	ended = c.server.store.closeBox(name, &o.holder, gone, now)
	c.mailboxes.Shrink(openedCost)
	return ended
}

// send queues an answer. A client that sends requests but does not read loses its connection, but nothing else, because
// stored messages are delivered again.
func (c *conn) send(f signaling.Frame) {
	if !c.out.pushFrame(f) {
		c.tooSlow()
	}
}

func (c *conn) tooSlow() {
	c.server.Stats.SlowReaders.Add(1)
	c.cancel()
}

// deliver queues a message for the client, and reports whether there was room.
func (c *conn) deliver(name signaling.Name, m bus.Message) bool {
	if !c.out.pushFrame(signaling.Deliver{Name: name, Seq: m.Seq, Body: m.Body}) {
		return false
	}
	c.delivered.remember(name, m.Seq, m.Node)
	c.server.Stats.Delivered.Add(1)
	return true
}

func (c *conn) writeLoop(ctx context.Context) {
	defer c.cancel()
	for {
		f, r, finished := c.out.front()
		switch {
		case f != nil:
			paid, ok := c.payForWrite(ctx, f)
			if paid {
				ok = c.writeFrame(ctx, f)
				c.out.popFrame(f)
			}
			if !ok {
				return
			}
			continue
		case r != nil:
			if !c.writeStored(ctx, r) {
				return
			}
			continue
		case finished:
			c.hangUp()
			return
		}

		select {
		case <-ctx.Done():
			return
		case <-c.out.wake:
		}
	}
}

// hangUp ends the connection. It waits for the client only if the relay is stopping. Meanwhile the client's frames are
// read and discarded, so a client that is cut off for what it did could go on sending for free.
func (c *conn) hangUp() {
	if c.stopping.Load() {
		c.frames.Leave()
		return
	}
	c.frames.CloseNow()
}

// writeStored writes the next few stored messages of a mailbox, and reports whether the connection stays up.
func (c *conn) writeStored(ctx context.Context, r *reader) bool {
	if r.ended() {
		return true
	}

	waiting := c.server.store.next(r.name, r.from.Load(), replayBatch, time.Now(), func() { r.live.Store(true) })
	for _, m := range waiting {
		f := signaling.Deliver{Name: r.name, Seq: m.Seq, Body: m.Body}
		paid, ok := c.payForWrite(ctx, f)
		if paid {
			c.delivered.remember(r.name, m.Seq, m.Node)
			ok = c.writeFrame(ctx, f)
		}
		if !ok {
			return false
		}
		if !paid {
			break
		}
		c.server.Stats.Delivered.Add(1)
		r.from.Store(m.Seq + 1)
	}

	if len(waiting) > 0 {
		c.out.addReplay(r)
	}
	return true
}

func (c *conn) pingLoop(ctx context.Context) {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			waiting, cancel := context.WithTimeout(ctx, silence-pingInterval)
			err := c.frames.Ping(waiting)
			cancel()
			if err != nil {
				c.cancel()
				return
			}
		}
	}
}

// readLoop handles the client's messages until the connection ends.
func (c *conn) readLoop(ctx context.Context) {
	for {
		b, release, err := c.readFrame(ctx)
		if errors.Is(err, errBusy) {
			c.server.Stats.RefusedBuffers.Add(1)
			c.send(signaling.Refused{Code: signaling.CodeQuota, Text: "the relay is busy: try again later"})
		}
		if err != nil {
			return
		}

		going := c.rate.Wait(ctx) == nil && c.handleFrame(ctx, b)
		release()
		if !going {
			return
		}
	}
}

// handleFrame pays for the processor time of one frame and then handles it. It reports whether the connection stays up.
func (c *conn) handleFrame(ctx context.Context, b []byte) bool {
	f, err := signaling.Parse(b)
	if err == nil && !c.pay(ctx, workOf(f, c.server.cfg.Mail != nil)) {
		return false
	}

	if err != nil || !c.handle(ctx, f) {
		c.server.Stats.BadFrames.Add(1)
		c.reply(0, &signaling.Error{Code: signaling.CodeMalformed, Text: "not a client's frame of protocol version 3"})
		return false
	}
	if c.unproven() && c.outsider.tries >= maxProofs {
		return false
	}

	if c.badSignatures >= maxBadSignatures {
		c.server.Stats.EndedForSignatures.Add(1)
		c.send(signaling.Refused{Code: signaling.CodeSignature,
			Text: "too many signatures do not verify: is this relay known by another URL?"})
		return false
	}

	return true
}

// pay waits for a share of the processor, and reports whether the connection stays up.
func (c *conn) pay(ctx context.Context, microseconds int64) bool {
	waited, err := c.account.class.work.Wait(ctx, c.account.payer, microseconds)
	if waited {
		c.server.Stats.Delayed.Add(1)
	}
	return err == nil
}
