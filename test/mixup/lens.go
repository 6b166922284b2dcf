package main

import (
	"context"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media"
)

// lens is a camera's picture: a keyframe that says, visibly and in a hidden mark, whose it is. It is taken when
// somebody asks, and every second while run runs. It implements session.Stream.
type lens struct {
	*media.Broadcast
	clip media.Clip
	mark string
}

func newLens(clip media.Clip, mark string) *lens {
	return &lens{Broadcast: media.NewBroadcast(), clip: clip, mark: mark}
}

func (l *lens) picture() []byte { return l.clip.Still(l.mark) }

func (l *lens) shoot() {
	l.Send(media.AccessUnit{Data: l.picture(), Keyframe: true, Captured: clock.Now()})
}

// Subscribe starts with a current picture.
func (l *lens) Subscribe() *media.Subscription {
	l.shoot()
	return l.Broadcast.Subscribe()
}

// State reports that all is well.
func (l *lens) State() media.State { return media.State{Live: true, Seen: true} }

func (l *lens) run(ctx context.Context) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			l.shoot()
		}
	}
}
