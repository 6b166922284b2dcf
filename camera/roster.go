package camera

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/crypto/pairing"
)

// MaxViewers is how many viewers a camera can be paired with. Each costs mailboxes at the relay, and a file here.
const MaxViewers = 64

// loadRoster reads the roster. Whatever cannot be read is left out and logged.
func (c *Camera) loadRoster() {
	records, err := c.store.Load()
	if len(records) > MaxViewers {
		err = errors.Join(err, fmt.Errorf("%w; it has %d", ErrFull, len(records)))
		records = records[:MaxViewers]
	}

	for _, r := range records {
		c.viewers[r.Pair.Peer.Fingerprint()] = &viewer{camera: c, record: r}
	}

	if err != nil {
		c.rosterErr = fmt.Errorf("load roster: %w", err)
		c.cfg.Logger.Error("some viewers cannot watch", "err", c.rosterErr)
	}
}

// RosterError returns why New could not read part of the roster, or nil. The viewers in that part cannot watch.
func (c *Camera) RosterError() error { return c.rosterErr }

// Owned reports whether anybody is on the roster. A damaged roster counts as owned, so that damage opens no set-up
// window.
func (c *Camera) Owned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rosterErr != nil || len(c.viewers) > 0
}

// Viewers returns the fingerprints of the viewers on the roster, in no particular order.
func (c *Camera) Viewers() []Fingerprint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.viewers))
}

// Remove takes a viewer off the roster and ends its sessions at once. It returns an error that wraps ErrNoViewer, or
// says why the viewer's file could not be removed. In the latter case the viewer is cut off, but would be back after a
// restart: call Remove again.
func (c *Camera) Remove(viewer Fingerprint) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.viewers[viewer]
	if v == nil {
		return fmt.Errorf("remove viewer %s: %w", viewer, ErrNoViewer)
	}

	v.remove()
	c.forgetHosts(viewer)
	if err := c.store.Remove(viewer); err != nil {
		return err
	}
	delete(c.viewers, viewer)
	return nil
}

// startViewers serves everybody on the roster until ctx ends.
func (c *Camera) startViewers(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.viewers {
		v.start(ctx)
	}
}

// rosterEvery is how soon a viewer is cut off after its file was deleted.
const rosterEvery = 2 * time.Second

// followRoster cuts off viewers whose files are deleted while the camera runs: the roster is what is on disk.
func (c *Camera) followRoster(ctx context.Context) {
	ticker := time.NewTicker(rosterEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.removeDeleted()
		}
	}
}

func (c *Camera) removeDeleted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for fingerprint, v := range c.viewers {
		if c.store.Kept(fingerprint) {
			continue
		}
		v.remove()
		c.forgetHosts(fingerprint)
		delete(c.viewers, fingerprint)
		c.cfg.Logger.Info("viewer removed: its file is gone", "viewer", fingerprint.String())
	}
}

// isFull reports whether the roster has no room for one more viewer.
func (c *Camera) isFull() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.viewers) >= MaxViewers
}

// enroll commits a new viewer to the roster, then serves it. old is an earlier pair with the same viewer, which the new
// one replaces, or nil.
func (c *Camera) enroll(ctx context.Context, r pairing.Record) (v, old *viewer, err error) {
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

// loadHostKeys reads the host keys, if viewers are to know them. Viewers whose files were deleted while the camera was
// off count as removed now.
func (c *Camera) loadHostKeys() (err error) {
	if !c.cfg.LAN {
		return nil
	}
	if c.hosts, err = openHostKeys(c.cfg, c.clock.Now()); err != nil {
		return fmt.Errorf("load LAN keys: %w", err)
	}

	for _, viewer := range c.hosts.viewers() {
		if !c.store.Kept(viewer) {
			c.forgetHosts(viewer)
		}
	}
	return nil
}

// forgetHosts handles the removal of a viewer that may know the camera's names on the LAN.
func (c *Camera) forgetHosts(viewer Fingerprint) {
	if c.hosts != nil {
		c.hosts.forget(viewer, c.clock.Now())
	}
}
