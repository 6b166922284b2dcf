package session

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// post is a relay inside the test. It keeps messages until somebody receives them, and delivers those of each mailbox
// in order.
type post struct {
	mu       sync.Mutex
	handlers map[signaling.Name]func(signaling.Delivery) bool // guarded by mu
	waiting  map[signaling.Name][][]byte                      // guarded by mu
	busy     map[signaling.Name]bool                          // guarded by mu
	sent     [][]byte                                         // guarded by mu
	closed   bool                                             // guarded by mu; nothing is delivered any more
	work     sync.WaitGroup
	refuse   error // guarded by mu; what Send returns

	twist    func(mb signaling.Mailbox, body []byte) [][]byte // returns what to deliver in place of a body; may be nil
	rejected atomic.Int64                                     // how many deliveries receivers have rejected
}

func newPost(t *testing.T) *post {
	p := &post{
		handlers: make(map[signaling.Name]func(signaling.Delivery) bool),
		waiting:  make(map[signaling.Name][][]byte),
		busy:     make(map[signaling.Name]bool),
	}
	t.Cleanup(p.close)
	return p
}

// close stops the deliveries and waits for those under way.
func (p *post) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.work.Wait()
}

func (p *post) Receive(mb signaling.Mailbox, handle func(signaling.Delivery) bool) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[mb.Name()] = handle
	p.deliver(mb.Name())
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.handlers, mb.Name())
	}
}

func (p *post) SendAll(ctx context.Context, mb signaling.Mailbox, queue <-chan signaling.Outgoing, ttl time.Duration,
	refused func(error)) error {
	return sendEach(ctx, queue, func(body []byte) error { return p.Send(ctx, mb, body, ttl) }, refused)
}

func sendEach(ctx context.Context, queue <-chan signaling.Outgoing, send func(body []byte) error,
	refused func(error)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case o, ok := <-queue:
			if !ok {
				return nil
			}
			if err := send(o.Body); err != nil {
				refused(err)
			}
		}
	}
}

func (p *post) Send(_ context.Context, mb signaling.Mailbox, body []byte, _ time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, body)
	bodies := [][]byte{body}
	if p.twist != nil {
		bodies = p.twist(mb, body)
	}

	p.waiting[mb.Name()] = append(p.waiting[mb.Name()], bodies...)
	p.deliver(mb.Name())
	return p.refuse
}

// deliver starts to pass on waiting messages, in one goroutine for each mailbox. mu must be held.
func (p *post) deliver(name signaling.Name) {
	if p.handlers[name] == nil || p.busy[name] || p.closed {
		return
	}
	p.busy[name] = true
	p.work.Go(func() {
		for {
			p.mu.Lock()
			handle, bodies := p.handlers[name], p.waiting[name]
			if handle == nil || len(bodies) == 0 || p.closed {
				p.busy[name] = false
				p.mu.Unlock()
				return
			}

			p.waiting[name] = bodies[1:]
			p.mu.Unlock()
			handle(signaling.NewDelivery(bodies[0], func() { p.rejected.Add(1) }))
		}
	})
}

// answering makes a camera serve a pair's offers that arrive through signal, each in a goroutine of work. It returns
// the common part of a configuration for the viewer.
func answering(t *testing.T, signal Signal, cfg CameraConfig, work *sync.WaitGroup,
	serve func(*Camera) error) ViewerConfig {
	ours, theirs := sessiontest.Pair(t)
	box := ours.Mailbox(envelope.ToCamera, 1)
	cfg.Pair, cfg.Signal, cfg.Logger = ours, signal, quiet()
	signal.Receive(mailbox(box), func(d signaling.Delivery) bool {
		opened, err := ours.Open(box, d.Body, time.Now())
		if err != nil {
			t.Errorf("open offer: %v", err)
			return true
		}
		cfg := cfg
		cfg.Offer, cfg.OfferWire = opened, d.Body

		work.Go(func() {
			c, err := NewCamera(cfg)
			if err == nil {
				err = serve(c)
			}
			if err != nil {
				t.Errorf("camera's end: %v", err)
			}
		})

		return true
	})

	return ViewerConfig{
		Pair:   theirs,
		Signal: signal,
		Inbox:  mailbox(box),
		Box:    box,
		Logger: quiet(),
	}
}
