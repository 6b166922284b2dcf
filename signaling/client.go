package signaling

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	dialTimeout  = 10 * time.Second
	pingEvery    = 20 * time.Second
	pingTimeout  = 20 * time.Second
	firstBackOff = 250 * time.Millisecond
	maxBackOff   = 30 * time.Second
	steady       = 5 * time.Second // a connection that held for so long lets the back-off begin anew
	sendQueue    = 256             // frames
)

// errLinkLost ends requests whose connection broke; they are tried again on the next one.
var errLinkLost = errors.New("connection to the relay lost")

// ClientConfig is what a client needs. The functions are called from its goroutines and must not block; they may be nil.
type ClientConfig struct {
	URL       string              // the relay URL: https://HOST[:PORT], or http:// for this machine
	TLS       *tls.Config         // nil: the system's roots
	OnState   func(err error)     // called on every change: nil when connected, else why not, for a person
	OnRefused func(refusal error) // the relay did not let us open a mailbox: an *Error, such as an expired ticket
	Logger    *slog.Logger        // nil: none
}

// Client is one device's connection to one relay; it comes back by itself. It trusts nothing that arrives.
type Client struct {
	cfg     ClientConfig
	http    *http.Client
	hurried chan struct{} // holds one token when Hurry was called

	mu       sync.Mutex
	link     *link                 // guarded by mu; nil while not connected
	lost     error                 // guarded by mu; why not
	changed  chan struct{}         // guarded by mu; closed when link changes
	received map[Name]*receiver    // guarded by mu
	kept     map[Name]*keptMailbox // guarded by mu; open for writing over reconnects
	clock    time.Duration         // guarded by mu; the server's time minus ours
	timed    bool                  // guarded by mu
	hurry    time.Time             // guarded by mu; until when somebody waits
	doubted  time.Time             // guarded by mu; when a mailbox was last refused
	doubtFor time.Duration         // guarded by mu; how long that was let be
}

// keptMailbox counts who wants a mailbox kept open.
type keptMailbox struct {
	mailbox Mailbox
	holders int
}

type receiver struct {
	mailbox Mailbox
	handle  func(Delivery) (done bool)
}

// NewClient checks the configuration; Run connects.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := checkURL(cfg.URL); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	transport := &http.Transport{TLSClientConfig: cfg.TLS, Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: dialTimeout}
	return &Client{
		cfg: cfg, http: &http.Client{Transport: transport}, changed: make(chan struct{}), hurried: make(chan struct{}, 1),
		received: make(map[Name]*receiver), kept: make(map[Name]*keptMailbox),
	}, nil
}

// Run keeps the client connected until ctx ends, and returns why that was.
func (c *Client) Run(ctx context.Context) error {
	defer c.http.CloseIdleConnections()
	backOff := firstBackOff
	for {
		held, err := c.connection(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if held >= steady {
			backOff = firstBackOff
		}
		c.failed(&reachError{host(c.cfg.URL), err})
		// Full jitter: after a restart a relay must not meet all its clients at once.
		pause := rand.N(backOff) + backOff/10
		if c.hurrying() {
			pause = min(pause, rand.N(firstBackOff))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-c.hurried:
			timer.Stop()
		case <-timer.C:
		}
		backOff = min(2*backOff, maxBackOff)
	}
}

func (c *Client) failed(err error) {
	c.mu.Lock()
	c.lost = err
	c.mu.Unlock()
	c.cfg.Logger.Debug("relay connection", "err", err)
	c.state(err)
}

func (c *Client) state(err error) {
	if c.cfg.OnState != nil {
		c.cfg.OnState(err)
	}
}

// connection is one connection's life; held says for how long it was up.
func (c *Client) connection(ctx context.Context) (held time.Duration, err error) {
	l, err := c.reach(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var writing sync.WaitGroup
	c.up(l)
	writing.Go(func() { l.write(ctx) })
	writing.Go(func() { l.ping(ctx) })
	c.state(nil)
	err = c.read(ctx, l)
	c.down(l)
	cancel()
	writing.Wait()
	return time.Since(l.since), err
}

func (c *Client) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, "ws"+c.cfg.URL[len("http"):]+Path, &websocket.DialOptions{HTTPClient: c.http, Subprotocols: []string{Subprotocol}})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			err = statusError(response.StatusCode)
		}
		return nil, err
	}
	conn.SetReadLimit(MaxFrame)
	_, b, err := conn.Read(ctx)
	if err != nil {
		conn.CloseNow()
		return nil, fmt.Errorf("read challenge: %w", err)
	}
	f, err := Parse(b)
	challenge, ok := f.(Challenge)
	if err != nil || !ok || conn.Subprotocol() != Subprotocol {
		conn.CloseNow()
		return nil, fmt.Errorf("read challenge: %w", ErrFrame)
	}
	c.mu.Lock()
	c.clock, c.timed = time.Until(time.UnixMilli(int64(challenge.Time))), true
	c.mu.Unlock()
	return newLink(conn, c.cfg.URL, challenge.Nonce), nil
}

// up makes l the current link and opens on it all that is wanted.
func (c *Client) up(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = l
	for _, k := range c.kept {
		l.open(k.mailbox, Write)
	}
	for _, r := range c.received {
		l.open(r.mailbox, Read)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Client) down(l *link) {
	c.mu.Lock()
	c.link = nil
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	l.close()
}

// read takes what the server sends until the connection ends.
func (c *Client) read(ctx context.Context, l *link) error {
	for {
		_, b, err := l.conn.Read(ctx)
		if err != nil {
			return l.lost(err)
		}
		f, err := Parse(b)
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case OK:
			l.answer(f.ID, answer{})
		case Granted:
			l.answer(f.ID, answer{json: f.JSON})
		case Refused:
			refusal := &Error{f.Code, printable(f.Text)}
			if f.ID == 0 {
				return refusal
			}
			if l.answer(f.ID, answer{err: refusal}) {
				c.doubt(l, refusal)
				if c.cfg.OnRefused != nil {
					c.cfg.OnRefused(refusal)
				}
			}
		case Deliver:
			c.deliver(l, f)
			if err := l.settle(ctx); err != nil {
				return err
			}
		default:
			return ErrFrame
		}
	}
}

func (c *Client) deliver(l *link, f Deliver) {
	c.mu.Lock()
	r := c.received[f.Name]
	c.mu.Unlock()
	if r == nil {
		return
	}
	if r.handle(NewDelivery(f.Body, func() { l.send(Reject{f.Name, f.Seq}) })) {
		l.send(Ack{f.Name, f.Seq})
	}
}

// Receive opens mb for reading now and after every reconnect. handle is called for each message, in order, from the
// client's one reading goroutine, so it must not block for long, and once more while stop is being called; when it returns true the relay deletes the message, else
// the message comes again with the next connection. One receiver a mailbox: a second replaces the first.
func (c *Client) Receive(mb Mailbox, handle func(Delivery) (done bool)) (stop func()) {
	name, r := mb.Name(), &receiver{mb, handle}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received[name] = r
	if c.link != nil {
		c.link.open(mb, Read)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.received[name] == r {
			delete(c.received, name)
			c.giveUp(name)
		}
	}
}

// Keep holds mb open for writing, with its ticket, over reconnects; for an owner that admits a mailbox, and for whoever
// sends to one more than once. Every Keep wants its stop.
func (c *Client) Keep(mb Mailbox) (stop func()) {
	name := mb.Name()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.kept[name]
	if k == nil {
		k = &keptMailbox{mailbox: mb}
		c.kept[name] = k
		if c.link != nil {
			c.link.open(mb, Write)
		}
	}
	k.holders++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if k.holders--; k.holders == 0 {
			delete(c.kept, name)
			c.giveUp(name)
		}
	})
}

// giveUp closes a mailbox that nobody here wants any more. c.mu is held.
func (c *Client) giveUp(name Name) {
	if c.link != nil && c.received[name] == nil && c.kept[name] == nil {
		c.link.forget(name)
		c.link.send(Close{name})
	}
}

// Send posts body to mb, to be kept for ttl (0: only for who is there now). It waits for the relay's word, over reconnects,
// until ctx ends. Errors: *Error when the relay refuses.
func (c *Client) Send(ctx context.Context, mb Mailbox, body []byte, ttl time.Duration) error {
	if err := checkBody(body); err != nil {
		return err
	}
	_, err := c.request(ctx, mb, func(id uint32) Frame {
		return newPost(id, mb.Name(), ttl, body)
	})
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Grant asks for both ends' ICE servers, on a mailbox to the camera.
func (c *Client) Grant(ctx context.Context, mb Mailbox) (Grant, error) {
	text, err := c.request(ctx, mb, func(id uint32) Frame { return GrantRequest{ID: id, Name: mb.Name()} })
	var g Grant
	if err == nil {
		g, err = parseGrant(text)
	}
	if err != nil {
		return Grant{}, fmt.Errorf("ask for ice servers: %w", err)
	}
	return g, nil
}

// request sends a frame about a mailbox open for writing, opening it first in the same flight, and waits for the answer.
func (c *Client) request(ctx context.Context, mb Mailbox, frame func(id uint32) Frame) ([]byte, error) {
	defer c.Keep(mb)()
	for {
		l, err := c.linked(ctx)
		if err != nil {
			return nil, err
		}
		a := l.request(ctx, mb.Name(), frame)
		if errors.Is(a.err, errLinkLost) {
			continue
		}
		return a.json, a.err
	}
}

// linked waits for a connection.
func (c *Client) linked(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, changed, lost := c.link, c.changed, c.lost
		c.mu.Unlock()
		if l != nil {
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if lost != nil {
				return nil, lost
			}
			return nil, &reachError{host(c.cfg.URL), ctx.Err()}
		}
	}
}

// ServerTime is the relay's clock, if it was ever reached. It may choose a mailbox's day, and nothing else.
func (c *Client) ServerTime() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.clock), c.timed
}

// Connect waits until the relay is reached; when ctx ends before, the error says why it was not.
func (c *Client) Connect(ctx context.Context) error {
	_, err := c.linked(ctx)
	return err
}
