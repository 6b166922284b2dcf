package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/viewer"
)

// household is a camera and the person who may watch it. What its two devices do with a picture is in app_sealed.go, or
// in app_unsealed.go for the control.
type household struct {
	number int
	relay  string // its home node
	state  string
	lens   *lens
	tally  *tally
	app    app

	connected atomic.Bool // the camera is at its relay

	mu     sync.Mutex
	from   time.Time // requests from before this do not count; guarded by mu
	asked  bool      // at least once since then, while the camera was at its relay; guarded by mu
	told   bool      // that something came which is not from this camera; guarded by mu
	saw    bool      // a stranger's picture; guarded by mu
	healed time.Time // when the fault ended; zero before; guarded by mu
	back   bool      // the person saw their own camera's picture after that; guarded by mu
}

func newHousehold(number int, relay, state string, clips []media.Clip, t *tally) *household {
	return &household{
		number: number,
		relay:  relay,
		tally:  t,
		state:  filepath.Join(state, fmt.Sprintf("%05d", number)),
		lens:   newLens(clips[number%len(clips)], fmt.Sprintf("household %05d", number)),
	}
}

func (h *household) cameraState() string { return filepath.Join(h.state, "camera") }
func (h *household) viewerState() string { return filepath.Join(h.state, "viewer") }
func (h *household) name() string        { return fmt.Sprintf("home-%05d", h.number) }

var nothing = slog.New(slog.DiscardHandler)

// pair makes both devices and pairs them as people do: the camera shows a code, and the viewer reads it. Devices that
// already exist stay as they are.
func (h *household) pair(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(h.state, "paired")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	codes, paired := make(chan pairing.Code, 4), make(chan struct{}, 1)
	c, err := camera.New(camera.Config{
		State:      h.cameraState(),
		Name:       h.name(),
		RelayURL:   h.relay,
		PairWindow: time.Minute,
		Stream:     h.lens,
		Logger:     nothing,
		OnCode:     func(c pairing.Code) { codes <- c },
		OnPaired:   func(identity.Fingerprint) { paired <- struct{}{} },
	})
	if err != nil {
		return err
	}

	running, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()

	defer stop()
	work.Go(func() { _ = c.Run(running) }) // ends with running and no sooner
	v, err := viewer.Open(viewer.Config{State: h.viewerState(), Logger: nothing})
	if err != nil {
		return err
	}

	select {
	case code := <-codes:
		if _, err := v.Pair(ctx, code); err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}

	select {
	case <-paired: // the camera knows that the viewer knows
	case <-ctx.Done():
		return ctx.Err()
	}

	return os.WriteFile(filepath.Join(h.state, "paired"), nil, 0o600)
}

// ask asks the household's camera for a picture once, and counts whose picture the person saw.
func (h *household) ask(ctx context.Context) {
	began, there := time.Now(), h.connected.Load()
	picture, err := h.app.still(ctx, h)
	if err == nil { // even for a request that nobody waits for any more
		h.shown(picture)
	}

	if ctx.Err() != nil {
		return
	}
	h.mu.Lock()
	h.asked = h.asked || there && !began.Before(h.from)
	h.mu.Unlock()
	if err != nil {
		h.tally.add(func(c *counts) { c.Unanswered++ })
	}
}

// owns reports whether a picture is this household's, by the mark in it. A picture without a mark, or with two, is not.
func (h *household) owns(picture []byte) bool {
	return slices.Equal(media.Marks(picture), []string{h.lens.mark})
}

// sees reports whether this is the first stranger's picture that the person sees. h.mu must be held.
func (h *household) sees(own bool) (first bool) {
	first = !own && !h.saw
	h.saw = h.saw || !own
	return first
}

// shown counts a picture that reached the person, and reports whether it was their own.
func (h *household) shown(picture []byte) (own bool) {
	own = h.owns(picture)
	h.mu.Lock()
	first := h.sees(own)
	back := own && !h.healed.IsZero() && !h.back
	h.back = h.back || back
	healed := h.healed
	h.mu.Unlock()

	h.tally.add(func(c *counts) {
		if own {
			c.Own++
		} else {
			c.Strangers++
		}

		if first {
			c.Saw++
		}
		if back {
			c.Back++
			c.back = append(c.back, time.Since(healed))
		}
	})

	return own
}

// rejected counts what arrived and was not shown.
func (h *household) rejected(what string) {
	h.mu.Lock()
	first := !h.told
	h.told = true
	h.mu.Unlock()
	h.tally.add(func(c *counts) {
		c.Rejected++
		if what == "packet" {
			c.RejectedPackets++
		}
		if first {
			c.Told++
		}
	})
}

// expect starts to count requests anew.
func (h *household) expect(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.from, h.asked = now, false
}

// heal starts the wait for the right picture.
func (h *household) heal(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.healed = now
}

func (h *household) isBack() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.back
}

func (h *household) isConnected() bool { return h.connected.Load() }

func (h *household) hasAsked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}
