// Package sdktest runs a relay and a camera in this process, for examples of the other end. It is only for tests, and
// panics if anything fails.
package sdktest

import (
	"context"
	"errors"
	"os"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/relay"
)

// StartRelay runs a relay until stop is called.
func StartRelay() (url string, stop func()) {
	r, err := relay.New(relay.Config{Listen: "127.0.0.1:0", TURN: "127.0.0.1:0", LoopbackUnlimited: true})
	if err != nil {
		panic(err)
	}
	return r.URL(), start(r.Run)
}

// StartCamera runs a camera that shows a clip, until stop is called. Its pairing links come through the channel.
func StartCamera(relayURL, name string) (links <-chan string, stop func()) {
	state, err := os.MkdirTemp("", "camera-")
	if err != nil {
		panic(err)
	}
	clips, err := media.Clips()
	if err != nil {
		panic(err)
	}

	shown := make(chan string, 8)
	end := start(func(ctx context.Context) error {
		return camera.Run(ctx, camera.Config{
			State:    state,
			RelayURL: relayURL,
			Name:     name,
			Source:   clips[0].Source("sdktest"),
			OnCode: func(code camera.Code) {
				select {
				case shown <- code.URI():
				default: // nobody wants another
				}
			},
		})
	})

	return shown, func() {
		end()
		if err := os.RemoveAll(state); err != nil {
			panic(err)
		}
	}
}

// start runs f until stop is called.
func start(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			panic(err)
		}
	}
}
