package rtsp

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/clock"
)

const (
	// DefaultMaxUnit is the default of Config.MaxUnit, in bytes.
	DefaultMaxUnit = 8 << 20
	// DefaultSilence is the default of Config.Silence.
	DefaultSilence = 30 * time.Second

	maxRedirects = 5
)

// Config configures a Client. Only URL is required.
type Config struct {
	// URL is rtsp://[user:password@]host[:port]/path, or the same with rtsps. User and password are percent-encoded.
	URL string
	// Codecs are the accepted codecs of the video track, in order of preference: "H264", "H265". H264 if empty.
	Codecs []string
	// MaxUnit is the size of the largest access unit, in bytes; DefaultMaxUnit if 0.
	MaxUnit int
	// Silence is how long a camera that answers requests but sends no packets counts as alive; DefaultSilence if 0. A
	// camera that was once silent for longer, and then continued, may be silent that long again.
	Silence time.Duration
	// OnAlive is called, from any goroutine, when a packet or an answer shows that the camera is there. It may be nil,
	// and must not block.
	OnAlive func()
	// OnUnverified is called with the SHA-256 of a camera's certificate when the Client trusts it although no authority
	// vouches for it. The Client then trusts no other certificate. It may be nil.
	OnUnverified func(certificate [sha256.Size]byte)
	// Clock gives the Captured times. If it is nil, this machine's clock does.
	Clock *clock.Clock
	// Dial opens TCP connections. If it is nil, a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client reads the video track of a camera.
type Client struct {
	config   Config
	target   target
	counters counters
	keyframe chan struct{}

	mu  sync.Mutex         // guards all below
	way transport          // to try first
	pin *[sha256.Size]byte // of the certificate trusted without an authority; nil if none is
}

// New returns a Client. It starts nothing; Run does. Its error wraps ErrURL.
func New(c Config) (*Client, error) {
	t, err := parseTarget(c.URL)
	if err != nil {
		return nil, err
	}
	if len(c.Codecs) == 0 {
		c.Codecs = []string{"H264"}
	}
	if c.MaxUnit == 0 {
		c.MaxUnit = DefaultMaxUnit
	}
	if c.Silence == 0 {
		c.Silence = DefaultSilence
	}
	if c.OnAlive == nil {
		c.OnAlive = func() {}
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}

	return &Client{config: c, target: t, way: overTCP, keyframe: make(chan struct{}, 1)}, nil
}

// Stats returns the counts of all runs together.
func (c *Client) Stats() Stats { return c.counters.stats() }

// RequestKeyframe requests a keyframe from the camera. Not every camera obeys. It may be called at any time.
func (c *Client) RequestKeyframe() {
	select {
	case c.keyframe <- struct{}{}:
	default:
	}
}

// Run connects and passes access units to sink, in order and from one goroutine at a time. It returns ctx's cause when
// ctx ends, or an error when the stream does. It leaves nothing running and may be called again, but not concurrently.
//
// Its errors are those of this package, of net and of crypto/tls.
func (c *Client) Run(ctx context.Context, sink func(Unit)) error {
	err := c.run(ctx, sink)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("read RTSP stream: %w", err)
}

// redirection is the error that leads to another target.
type redirection struct{ to target }

func (r *redirection) Error() string { return "redirected" }

func (c *Client) run(ctx context.Context, sink func(Unit)) error {
	to := c.target
	fallback := true
	for redirects := 0; ; {
		s := &session{
			client:   c,
			target:   to,
			way:      c.first(to),
			fallback: fallback,
			sink:     sink,
		}

		err := s.run(ctx)
		var r *redirection
		switch {
		case errors.As(err, &r):
			if redirects++; redirects > maxRedirects {
				return ErrRedirects
			}
			to = r.to
		case errors.Is(err, errNoUDP) && ctx.Err() == nil:
			c.prefer(overTCP)
			fallback = false
		default:
			if s.playing && !s.heard() {
				c.prefer(s.way.other()) // it sent nothing at all: try the other transport next time
			}
			return err
		}
	}
}

// first returns the transport to try first. Over TLS it is TCP, since packets over UDP would not be encrypted.
func (c *Client) first(to target) transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.secure {
		return overTCP
	}
	return c.way
}

func (c *Client) prefer(way transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.way = way
}

// trust accepts the first certificate that it sees, and then no other.
func (c *Client) trust(certificate [sha256.Size]byte) error {
	c.mu.Lock()
	pin := c.pin
	if pin == nil {
		c.pin = &certificate
	}
	c.mu.Unlock()

	switch {
	case pin == nil && c.config.OnUnverified != nil:
		c.config.OnUnverified(certificate)
	case pin != nil && *pin != certificate:
		return ErrCertificate
	}

	return nil
}
