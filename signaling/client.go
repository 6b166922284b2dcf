package signaling

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/relayurl"
)

const (
	minBackoff  = 250 * time.Millisecond
	maxBackoff  = 30 * time.Second
	stableAfter = 5 * time.Second // a connection that lasted this long resets the backoff
)

// ClientConfig is what a client needs. Its functions may be nil. The client's goroutines call them, so all but Dial
// must not block.
type ClientConfig struct {
	URL       string              // the relay URL: https://HOST[:PORT], or http:// for this machine; see relayurl.Check
	TLS       *tls.Config         // nil means the system's roots
	OnState   func(err error)     // called on every change: nil when connected, else the reason in a person's words
	OnRefused func(refusal error) // called with an *Error when the relay refuses a mailbox, as for an expired ticket
	Logger    *slog.Logger        // nil means no logging

	// WebTransport races HTTP/3 against the WebSocket, and keeps what connects first. It is for clients whose user
	// waits for the connection: a connection that waits for days costs a relay more memory over HTTP/3.
	WebTransport bool

	// Dial opens a connection to a signaling server that is no relay, such as a camera's own: a stream of bytes on
	// which the server speaks plain HTTP. origin names both ends of that connection, and is what the client signs
	// instead of a relay URL. Dial may search until its context ends; the client does not call it twice at the same
	// time. If Dial is set, TLS is not used, and URL only names the server in messages, as in "the camera on this
	// network".
	Dial func(ctx context.Context) (conn net.Conn, origin string, err error)

	// InProcess says that Dial's server is in this process. The client then sends no pings, because there is no network
	// that could lose the connection. An idle device is not woken.
	InProcess bool
}

// Client is one device's connection to one relay. It reconnects by itself, and trusts nothing that arrives.
type Client struct {
	cfg      ClientConfig
	dialNow  chan struct{} // holds one token after Probe
	idleCuts idleCuts      // owned by Run's goroutine

	mu          sync.Mutex
	http        *http.Client          // guarded by mu; replaced by Trust
	tls         *tls.Config           // guarded by mu; replaced by Trust
	link        *link                 // guarded by mu; nil while not connected
	linkErr     error                 // guarded by mu; why there is no link
	linkChanged chan struct{}         // guarded by mu; closed when link changes
	receivers   map[Name]*receiver    // guarded by mu
	resting     map[Name]bool         // guarded by mu; mailboxes that must not yet be opened for reading again
	kept        map[Name]*keptMailbox // guarded by mu; open for writing, over reconnects
	clock       time.Duration         // guarded by mu; the relay's time minus ours
	clockKnown  bool                  // guarded by mu
	urgentUntil time.Time             // guarded by mu; until then somebody waits for the relay
	refusals    refusalBackoff        // guarded by mu
	dialAnew    context.CancelFunc    // guarded by mu; gives up the call of Dial under way; nil if there is none
	lastKept    uint64                // guarded by mu; numbers the kept mailboxes
}

// NewClient checks the configuration; Run connects.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Dial == nil {
		if err := relayurl.Check(cfg.URL); err != nil {
			return nil, fmt.Errorf("read relay URL: %w", err)
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}

	return &Client{
		cfg:         cfg,
		dialNow:     make(chan struct{}, 1),
		http:        newHTTPClient(cfg.TLS),
		tls:         cfg.TLS,
		linkChanged: make(chan struct{}),
		receivers:   make(map[Name]*receiver),
		resting:     make(map[Name]bool),
		kept:        make(map[Name]*keptMailbox),
	}, nil
}

// Run keeps the client connected until ctx ends, and returns ctx's error.
func (c *Client) Run(ctx context.Context) error {
	defer func() { c.httpClient().CloseIdleConnections() }()

	backoff := minBackoff
	for {
		held, err := c.connect(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.noteFailure(c.unreached(err))

		if held >= stableAfter {
			backoff = minBackoff
		}
		if err := c.pause(ctx, backoff); err != nil {
			return err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// pause waits before the next attempt to connect, at most for about backoff.
func (c *Client) pause(ctx context.Context, backoff time.Duration) error {
	// Full jitter: after a restart, a relay must not meet all its clients at once.
	pause := rand.N(backoff) + backoff/10
	if c.urgent() {
		pause = min(pause, c.urgentPause())
	}

	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dialNow:
	case <-timer.C:
	}
	return nil
}

// urgentPause returns how long to wait before the next attempt while somebody waits for the relay.
func (c *Client) urgentPause() time.Duration {
	if c.cfg.Dial != nil {
		return redialInterval // dialUntilReached, which keeps this pace for a relay, is not used
	}
	return rand.N(minBackoff)
}

// connect dials the relay and serves the connection until it ends. held is how long it was up.
func (c *Client) connect(ctx context.Context) (held time.Duration, err error) {
	dial := c.dialUntilReached
	if c.cfg.Dial != nil {
		dial = c.dialOneAtATime
	}
	l, err := dial(ctx)
	if err != nil {
		return 0, err
	}

	ctx, cancel := context.WithCancel(ctx)
	var writers sync.WaitGroup
	c.setLink(l)
	writers.Go(func() { l.writeQueue(ctx) })
	if !c.cfg.InProcess {
		interval := c.idleCuts.pingInterval()
		writers.Go(func() { l.ping(ctx, interval) })
	}
	c.reportState(nil)

	err = c.readFrames(ctx, l)
	if cut := c.idleCuts.record(l.silenceAtCut(err)); cut != nil {
		err = cut
	}

	c.dropLink(l)
	cancel()
	writers.Wait()
	if c.cfg.Dial != nil && l.hasRefusals() {
		return 0, err // a camera is not to be asked again and again for what it has refused
	}
	return time.Since(l.since), err
}

// setLink makes l the current link and opens every wanted mailbox on it. The mailbox that was kept first is opened
// first: at a camera's own server, it proves that this device may do anything at all.
func (c *Client) setLink(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.link = l
	oldest := func(a, b *keptMailbox) int { return cmp.Compare(a.number, b.number) }
	for _, k := range slices.SortedFunc(maps.Values(c.kept), oldest) {
		l.openMailbox(k.mailbox, Write)
	}
	for name := range c.receivers {
		c.openForReading(name)
	}
	close(c.linkChanged)
	c.linkChanged = make(chan struct{})
}

func (c *Client) dropLink(l *link) {
	c.mu.Lock()
	c.link = nil
	close(c.linkChanged)
	c.linkChanged = make(chan struct{})
	c.mu.Unlock()

	l.close()
}

func (c *Client) noteFailure(err error) {
	c.mu.Lock()
	c.linkErr = err
	c.mu.Unlock()

	c.cfg.Logger.Debug("relay connection", "err", err)
	c.reportState(err)
}

func (c *Client) reportState(err error) {
	if c.cfg.OnState != nil {
		c.cfg.OnState(err)
	}
}

func (c *Client) reportRefusal(err error) {
	if c.cfg.OnRefused != nil {
		c.cfg.OnRefused(err)
	}
}

// readFrames handles what the relay sends until the connection ends.
func (c *Client) readFrames(ctx context.Context, l *link) error {
	for {
		b, err := l.conn.Read(ctx)
		if err != nil {
			return l.endReason(err)
		}
		l.noteArrival()

		f, err := Parse(b)
		if err != nil {
			return err
		}
		if err := c.handleFrame(ctx, l, f); err != nil {
			return err
		}
	}
}

// handleFrame handles one frame. It returns an error if the connection must end.
func (c *Client) handleFrame(ctx context.Context, l *link, f Frame) error {
	switch f := f.(type) {
	case OK:
		l.resolve(f.ID, answer{})
	case Granted:
		l.resolve(f.ID, answer{json: f.JSON})
	case Refused:
		refusal := &Error{f.Code, printable.Text(f.Text)}
		if f.ID == 0 {
			return refusal
		}
		if refusedMailbox := l.resolve(f.ID, answer{err: refusal}); refusedMailbox {
			c.retryRefused(l, refusal)
			c.reportRefusal(refusal)
		}
	case Deliver:
		c.deliver(l, f)
		return l.waitForQueue(ctx)
	case Closed:
		c.handleClosed(l, f)
	default:
		return ErrFrame
	}
	return nil
}

// waitForLink waits for a connection. When ctx ends first, the error says why there is none.
func (c *Client) waitForLink(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, changed, lastErr := c.link, c.linkChanged, c.linkErr
		c.mu.Unlock()
		if l != nil {
			return l, nil
		}

		select {
		case <-changed:
		case <-ctx.Done():
			if lastErr != nil {
				return nil, lastErr
			}
			return nil, c.unreached(ctx.Err())
		}
	}
}

// Connected reports whether the client has a connection at present.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link != nil
}

// RoundTrip returns the least time in which the relay has answered on the present connection; zero if it has not.
func (c *Client) RoundTrip() time.Duration {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trip
}

// Connect waits until the relay is reached. When ctx ends first, the error says why it was not reached.
func (c *Client) Connect(ctx context.Context) error {
	_, err := c.waitForLink(ctx)
	return err
}

// ServerTime returns the relay's time, and whether the relay was ever reached. It may choose a mailbox's day, and must
// decide nothing else.
func (c *Client) ServerTime() (relay time.Time, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.clock), c.clockKnown
}
