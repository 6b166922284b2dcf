// Package camera is the camera's side of Peephole: it keeps the camera's identity and roster, pairs viewers while
// its set-up window is open, and serves sessions to those who are on the roster.
//
// It connects outbound, and lets others in only by ICE, and only while one of them watches. It promises that a picture goes to nobody but a paired viewer, sealed to that viewer, and
// that a viewer removed from the roster is cut off at once.
package camera

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/internal/netwatch"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

const (
	sessionsPerViewer = 8
	rolloverEvery     = 10 * time.Minute
)

// Config is what a camera needs.
type Config struct {
	State      string        // directory of the identity and the roster, made with mode 0700
	Name       string        // what viewers see; sealed on its way
	RelayURL   string        // home relay
	Ticket     []byte        // of the relay's operator; nil where everyone is admitted
	TLS        *tls.Config   // nil: the system's roots
	RelayOnly  bool          // show viewers and their networks no address of this camera but the relay's
	PairWindow time.Duration // how long after the start an unowned camera can be paired; 0: not at all
	PairMore   bool          // open the set-up window although the camera has an owner
	Stream     session.Stream
	Low        session.Stream     // the same at a lower rate, for viewers whose network does not carry Stream; nil: there is none
	PortMapper session.PortMapper // nil: no port of the household's router is opened
	Logger     *slog.Logger

	OnCode   func(pairing.Code)      // a code to show; the one before is void
	OnPaired func(viewer string)     // a viewer was paired: its short fingerprint
	OnRefuse func(err error)         // someone tried to pair and was refused: tell the person
	OnRelay  func(err error)         // nil: connected; else why not
	OnReject func(session.Rejection) // something arrived that is from no viewer of this camera, and was not used; must not block
}

// Camera is one camera.
type Camera struct {
	cfg    Config
	self   *identity.Private
	store  *pairing.Store
	client *signaling.Client

	alarm *alarm

	torn bool // part of the roster could not be read

	mu      sync.Mutex
	viewers map[identity.Fingerprint]*viewer // guarded by mu, and so is their order with the store's files
	work    sync.WaitGroup
}

// New loads the camera's identity and roster, or makes a new identity in an empty State directory.
func New(cfg Config) (*Camera, error) {
	relayURL, err := pairing.NormalizeRelayURL(cfg.RelayURL)
	if err != nil {
		return nil, err
	}
	cfg.RelayURL = relayURL
	self, err := identity.LoadOrCreate(cfg.State)
	if err != nil {
		return nil, fmt.Errorf("load camera identity: %w", err)
	}
	client, err := signaling.NewClient(signaling.ClientConfig{URL: relayURL, TLS: cfg.TLS, OnState: cfg.OnRelay, Logger: cfg.Logger,
		OnRefused: func(err error) { cfg.Logger.Warn("the relay refused a mailbox", "err", err) }})
	if err != nil {
		return nil, err
	}
	c := &Camera{cfg: cfg, self: self, store: pairing.NewStore(cfg.State, self, identity.Camera), client: client, alarm: &alarm{log: cfg.Logger, hook: cfg.OnReject}, viewers: make(map[identity.Fingerprint]*viewer)}
	records, err := c.store.Load()
	for _, r := range records {
		c.viewers[r.Pair.Peer.Fingerprint()] = &viewer{camera: c, record: r}
	}
	if err != nil {
		c.torn = true
		return c, fmt.Errorf("load roster: %w", err)
	}
	return c, nil
}

// Fingerprint names the camera.
func (c *Camera) Fingerprint() identity.Fingerprint { return c.self.Bundle().Fingerprint() }

// Owned says whether anybody is on the roster. A roster that cannot be read whole has an owner: damage opens no set-up window.
func (c *Camera) Owned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.torn || len(c.viewers) > 0
}

// Rejected is how much has arrived since the start that is from no viewer of this camera. Nothing of it was used.
func (c *Camera) Rejected() int64 { return c.alarm.rejected() }

// Run serves until ctx ends.
func (c *Camera) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reaching, stop := context.WithCancel(context.WithoutCancel(ctx)) // a session that ends with ctx has a word to say yet
	var relay sync.WaitGroup
	defer relay.Wait()
	defer stop()
	relay.Go(func() { _ = c.client.Run(reaching) }) // returns reaching's error and no other
	c.mu.Lock()
	for _, v := range c.viewers {
		v.start(ctx)
	}
	c.mu.Unlock()
	c.work.Go(func() { c.followRoster(ctx) })
	c.work.Go(func() { c.followNetwork(ctx) })
	if c.cfg.PairWindow > 0 && (c.cfg.PairMore || !c.Owned()) {
		c.work.Go(func() {
			if err := c.pairing(ctx); err != nil && ctx.Err() == nil {
				c.cfg.Logger.Warn("pairing", "err", err)
			}
		})
	}
	<-ctx.Done()
	c.work.Wait()
	return ctx.Err()
}

// Remove takes a viewer off the roster and ends its sessions at once. On an error the viewer is cut off, but would be back after a
// restart: remove it again.
func (c *Camera) Remove(viewer identity.Fingerprint) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.viewers[viewer]
	if v == nil {
		return fmt.Errorf("remove viewer: %s is not on the roster", viewer.Short())
	}
	v.stop()
	if err := c.store.Remove(viewer); err != nil {
		return err
	}
	delete(c.viewers, viewer)
	return nil
}

// rosterEvery is how soon a viewer is cut off whose file was deleted.
const rosterEvery = 2 * time.Second

// followRoster cuts off the viewers whose files are deleted while the camera runs: the roster is what is on disk.
func (c *Camera) followRoster(ctx context.Context) {
	ticker := time.NewTicker(rosterEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		c.mu.Lock()
		for fingerprint, v := range c.viewers {
			if !c.store.Kept(fingerprint) {
				v.stop()
				delete(c.viewers, fingerprint)
				c.cfg.Logger.Info("viewer removed: its file is gone", "viewer", fingerprint.Short())
			}
		}
		c.mu.Unlock()
	}
}

// followNetwork reaches the relay anew when this machine has moved to another network: the old connection would be found dead much later.
func (c *Camera) followNetwork(ctx context.Context) {
	moved := netwatch.Changes(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-moved:
			c.client.Renew()
		}
	}
}

// add commits a new viewer to the roster, then serves it. old is an earlier pair with the same viewer, which it replaces; or nil.
func (c *Camera) add(ctx context.Context, r pairing.Record) (v, old *viewer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.store.Put(r); err != nil {
		return nil, nil, err
	}
	fingerprint := r.Pair.Peer.Fingerprint()
	v, old = &viewer{camera: c, record: r}, c.viewers[fingerprint]
	c.viewers[fingerprint] = v
	if old != nil {
		old.stop()
	}
	v.start(ctx)
	return v, old, nil
}

// today is the relay's time if known, for the choice of a mailbox's day and nothing else: cameras boot in 1970.
func (c *Camera) today() time.Time {
	if t, ok := c.client.ServerTime(); ok {
		return t
	}
	return time.Now()
}

// madeAfter is before any camera was made: an earlier clock has never been set.
var madeAfter = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// clocks are the times by which a viewer may choose a mailbox: the relay's, and this camera's own if it was ever set. Where they differ by days,
// one of them is wrong, and nobody here knows which.
func (c *Camera) clocks() []time.Time {
	if now := time.Now(); now.After(madeAfter) {
		return []time.Time{c.today(), now}
	}
	return []time.Time{c.today()}
}

// ErrWindow is returned when the set-up window closed before anyone paired.
var ErrWindow = errors.New("the set-up window has closed: restart the camera to open it again")
