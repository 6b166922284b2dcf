//go:build !unsealed

package main

import (
	"context"
	"time"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

// sealing reports whether the devices seal what they send.
const sealing = true

// app is the product: the camera's and the viewer's side as everybody runs them.
type app struct{ viewer *viewer.Viewer }

func newApp(h *household) (app, error) {
	v, err := viewer.Open(viewer.Config{State: h.viewerState(), Logger: nothing})
	return app{v}, err
}

// serve runs the camera until ctx ends.
func (a app) serve(ctx context.Context, h *household) error {
	c, err := camera.New(camera.Config{
		State:    h.cameraState(),
		Name:     h.name(),
		RelayURL: h.relay,
		Stream:   h.lens,
		Logger:   nothing,
		OnRelay:  func(err error) { h.connected.Store(err == nil) },
	})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// still asks for one picture.
func (a app) still(ctx context.Context, h *household) ([]byte, error) {
	f, err := a.viewer.Still(ctx, h.name(), func(r session.Rejection) { h.rejected(r.What) })
	return f.AccessUnit, err
}

// watch watches through TURN until ctx ends, and starts again however often the session breaks.
func (a app) watch(ctx context.Context, h *household, s *sample) {
	for ctx.Err() == nil {
		err := a.viewer.Watch(ctx, h.name(), viewer.Watch{
			RelayOnly: true,
			OnFrame:   func(f session.Frame) { s.frame(h, f.AccessUnit, f.Still) },
			OnReject:  func(r session.Rejection) { h.rejected(r.What) },
			OnRetry:   func(error) { s.broke(h) },
		})
		if err == nil || ctx.Err() != nil {
			return
		}

		s.broke(h)
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}
