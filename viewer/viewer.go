// Package viewer embeds a Peephole viewer in a program. It keeps the viewer's identity and the cameras that it is
// paired with, pairs by the code that a camera shows, and watches.
//
//	v, err := viewer.Open(viewer.Config{State: "/home/me/.config/doorbell"})
//	...
//	code, err := viewer.ReadCode(link) // what a camera shows: ask a person before Pair
//	...
//	front, err := v.Pair(ctx, code)
//	...
//	err = v.Watch(ctx, front.ID, viewer.Watch{OnFrame: func(f viewer.Frame) { film.Write(f.AccessUnit) }})
//
// It promises that whatever it hands on has opened under a key that only the camera and this viewer hold, and that a
// picture which is not live is never called live.
package viewer

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
)

// Viewer is one viewer and its cameras. Its methods may be called from several goroutines.
type Viewer struct {
	cfg        Config
	self       *identity.Private
	store      *pairing.Store
	clock      *expiry.Clock
	camerasErr error // why some cameras could not be read

	mu      sync.Mutex
	records []pairing.Record // guarded by mu, and so is the order of changes to the store's files; oldest first
}

// Open loads the viewer's identity and cameras from cfg.State, or makes a new identity in an empty directory. It
// returns ErrConfig, or says which file could not be read or written.
//
// A damaged file of one camera is no error, so that the others can be watched: it is logged, and CamerasError returns
// it.
func Open(cfg Config) (*Viewer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}

	self, err := identity.LoadOrCreate(cfg.State)
	if err != nil {
		return nil, fmt.Errorf("load viewer identity: %w", err)
	}

	clock := cfg.Clock
	if clock == nil {
		if clock, err = expiry.Open(cfg.State, expiry.Source{}); clock == nil {
			return nil, fmt.Errorf("load viewer clock: %w", err)
		}
		if err != nil {
			cfg.Logger.Warn("the clock's file cannot be read, and is made anew", "err", err)
		}
	}

	cfg.TLS = signaling.TrustAt(cfg.TLS, clock.Now)
	v := &Viewer{cfg: cfg, self: self, store: pairing.NewStore(cfg.State, self, identity.Viewer), clock: clock}
	v.reportClock(clock.Keep())
	v.loadCameras()
	return v, nil
}

// reportClock logs that the clock's floor could not be written.
func (v *Viewer) reportClock(err error) {
	if err != nil {
		v.cfg.Logger.Warn("the time cannot be kept on disk: make room there, or make it writable", "err", err)
	}
}

// Fingerprint returns the fingerprint by which cameras know the viewer.
func (v *Viewer) Fingerprint() Fingerprint { return v.self.Bundle().Fingerprint() }
