package camera_test

import (
	"context"
	"fmt"
	"os"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/sdktest"
)

// runCamera serves an input, such as rtsp://USER:PASSWORD@192.0.2.10/stream, until ctx ends.
func runCamera(ctx context.Context, input, relayURL, state string, show func(camera.Code)) error {
	source, err := media.Open(ctx, input)
	if err != nil {
		return err
	}
	return camera.Run(ctx, camera.Config{
		State:    state,    // keys and viewers are kept here
		RelayURL: relayURL, // such as https://relay.example
		Name:     "front door",
		Source:   source,
		OnCode:   show, // code.URI() is the link to open or to show as a QR code
		OnPaired: func(viewer camera.Fingerprint) { fmt.Println("paired with", viewer) },
	})
}

// A camera in twenty lines. Here it ends when it shows its first code; a real one goes on.
func Example() {
	relayURL, stop := sdktest.StartRelay()
	defer stop()
	state, err := os.MkdirTemp("", "camera-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(state)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err = runCamera(ctx, "../media/clips/clip0.h264", relayURL, state, func(code camera.Code) {
		fmt.Println("to pair, open the link or scan its QR code, and compare", len(code.Words()), "words")
		cancel()
	})
	fmt.Println(err)
	// Output:
	// to pair, open the link or scan its QR code, and compare 3 words
	// context canceled
}
