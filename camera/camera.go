// Package camera embeds a Peephole camera in a program. It keeps the camera's identity and the roster of its viewers,
// pairs viewers while its set-up window is open, and sends them the picture, sealed end to end.
//
// A camera needs a directory for its state, a relay and a source of pictures:
//
//	source, err := media.Open(ctx, "rtsp://192.0.2.10/stream")
//	if err != nil {
//		return err
//	}
//	return camera.Run(ctx, camera.Config{
//		State:    "/var/lib/doorbell",
//		RelayURL: "https://relay.example",
//		Source:   source,
//		OnCode:   func(code camera.Code) { fmt.Println("to watch, open", code.URI()) },
//	})
//
// [Run] is enough for most programs. [New] gives a [Camera], which can be asked who owns it and can remove viewers.
//
// A camera connects outbound. It lets others in only by ICE, and only while one of its viewers watches. It promises
// that a picture goes to nobody but a paired viewer, sealed to that viewer, and that a viewer removed from the roster
// is cut off at once.
package camera

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/nat/netwatch"
	"github.com/peephole-cam/peephole/signaling"
)

// rolloverEvery is how often the days of mailboxes and the clock's floor are brought up to date.
const rolloverEvery = 10 * time.Minute

// Camera is one camera. Its methods may be called from several goroutines.
type Camera struct {
	cfg    Config
	self   *identity.Private
	store  *pairing.Store
	relays *relays             // where it is
	signal *signaling.Carriers // those, and the one below, at once
	// serves viewers that come without the relay; nil without Config.LAN
	without *withoutRelay
	feeds   []*media.Feed // the Config's sources, which Run reads

	offered  *objects     // what viewers may fetch
	audience atomic.Int32 // to how many sessions the picture goes now

	alarm       *alarm
	clock       *expiry.Clock
	hosts       *hostKeys                   // nil without Config.LAN
	credentials atomic.Pointer[credentials] // for the relay

	rosterErr error       // why part of the roster could not be read
	clockErr  error       // why the clock begins without a floor, although it may have had one
	unkept    atomic.Bool // the floor could not be written, and the log says so

	mu      sync.Mutex
	viewers map[identity.Fingerprint]*viewer // guarded by mu, and so is the order of changes to the store's files
	work    sync.WaitGroup
}

// Run makes a camera, serves until ctx ends, and returns ctx's error. Any other error is New's.
func Run(ctx context.Context, cfg Config) error {
	c, err := New(cfg)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// New loads the camera's identity and roster from cfg.State, or makes a new identity in an empty directory. Nothing
// runs yet. It returns an error that matches ErrConfig, or says which file could not be read or written.
//
// A damaged roster is no error, so that the other viewers can watch: it is logged, and RosterError returns it.
func New(cfg Config) (*Camera, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	self, err := identity.LoadOrCreate(cfg.State)
	if err != nil {
		return nil, fmt.Errorf("load camera identity: %w", err)
	}

	clock, clockErr := cfg.Clock, error(nil)
	if clock == nil {
		clock, clockErr = expiry.Open(cfg.State, expiry.Source{})
	}
	if clock == nil {
		return nil, fmt.Errorf("load camera clock: %w", clockErr)
	}

	trust := signaling.TrustAt(cfg.TLS, clock.Now)
	c := &Camera{
		cfg:      cfg,
		self:     self,
		store:    pairing.NewStore(cfg.State, self, identity.Camera),
		alarm:    &alarm{log: cfg.Logger, hook: cfg.OnReject},
		clock:    clock,
		clockErr: clockErr,
		viewers:  make(map[identity.Fingerprint]*viewer),
	}

	c.credentials.Store(&credentials{cfg.Ticket, trust})
	c.feedSources()
	c.offered = c.newObjects()
	c.loadRoster()
	if err := c.loadHostKeys(); err != nil {
		return nil, err
	}
	return c, c.joinCarriers()
}

// feedSources makes streams of the Config's sources.
func (c *Camera) feedSources() {
	feed := func(source media.Source, stream *Stream) {
		if source == nil {
			return
		}
		f := media.NewFeed(source, media.FeedOptions{Log: c.cfg.Logger})
		c.feeds = append(c.feeds, f)
		*stream = f
	}

	feed(c.cfg.Source, &c.cfg.Stream)
	feed(c.cfg.LowSource, &c.cfg.Low)
}

// Fingerprint returns the fingerprint by which viewers know the camera.
func (c *Camera) Fingerprint() Fingerprint { return c.self.Bundle().Fingerprint() }

// Rejected returns how many messages have arrived since the start that are not from a viewer. None of them was used.
func (c *Camera) Rejected() int64 { return c.alarm.rejected() }

// Run serves until ctx ends, and returns its error. Call it once.
func (c *Camera) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// The carriers stay connected until the sessions, which end with ctx, have said goodbye.
	connected, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	var carriers sync.WaitGroup
	defer carriers.Wait()
	defer disconnect()
	defer c.signal.Close()
	carriers.Go(func() { c.relays.run(connected) })
	if c.without != nil {
		carriers.Go(func() { c.without.run(connected) })
	}

	c.startViewers(ctx)
	for _, feed := range c.feeds {
		c.work.Go(func() { _ = feed.Run(ctx) }) // returns ctx's error, or nil for a source that has come to its end
	}
	c.work.Go(func() { c.followRoster(ctx) })
	c.work.Go(func() { c.followNetwork(ctx) })
	c.work.Go(func() { c.keepClock(ctx) })
	if c.cfg.opensWindow(c.Owned()) {
		c.work.Go(func() { c.openWindow(ctx) })
	}

	<-ctx.Done()
	c.work.Wait()
	return ctx.Err()
}

// followNetwork reconnects to the relays when this machine has moved to another network. The old connections would
// be found dead much later.
func (c *Camera) followNetwork(ctx context.Context) {
	moved := netwatch.Changes(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-moved:
			for _, client := range c.relays.all() {
				client.Redial()
			}
		}
	}
}

// keepClock keeps the clock's floor up to date, and the host keys, whose time it tells.
func (c *Camera) keepClock(ctx context.Context) {
	if c.clockErr != nil {
		c.cfg.Logger.Warn("the clock's file cannot be read, and is made anew", "err", c.clockErr)
	}
	ticker := time.NewTicker(rolloverEvery)
	defer ticker.Stop()

	for {
		c.reportClock(c.clock.Keep())
		if c.hosts != nil {
			c.hosts.keep(c.clock.Now())
		}

		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// reportClock logs once that the clock's floor could not be written.
func (c *Camera) reportClock(err error) {
	if told := c.unkept.Swap(err != nil); err != nil && !told {
		c.cfg.Logger.Warn("the time cannot be kept on disk: make room there, or make it writable. "+
			"Until then an old offer might be taken after a restart with an unset clock", "err", err)
	}
}

// today returns the relay's time if it is known, else the camera's. It chooses a mailbox's day and nothing else:
// cameras boot in 1970.
func (c *Camera) today() time.Time {
	if t, ok := c.relays.serverTime(); ok {
		return t
	}
	return c.clock.Now()
}

// clocks returns the times by which a viewer may choose a mailbox: the relay's, and this camera's own unless that is
// certainly wrong. If they differ by days, one of them is wrong, and nobody here knows which.
func (c *Camera) clocks() []time.Time {
	if c.clock.Wrong() {
		return []time.Time{c.today()}
	}
	return []time.Time{c.today(), c.clock.Now()}
}

// ErrFull is returned when the roster has no room for one more viewer.
var ErrFull = fmt.Errorf("this camera serves %d viewers at most: remove one from its folder of pairs", MaxViewers)

// ErrWindow is logged when the set-up window closed before anyone paired.
var ErrWindow = errors.New("the set-up window has closed: restart the camera to open it again")

// ErrNoViewer is returned by Remove for a fingerprint that is not on the roster.
var ErrNoViewer = errors.New("the viewer is not on the roster")
