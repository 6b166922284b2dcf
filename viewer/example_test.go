package viewer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/peephole-cam/peephole/test/sdktest"
	"github.com/peephole-cam/peephole/viewer"
)

// film pairs with the camera that shows a link, lists all cameras, and writes frames of this one.
func film(ctx context.Context, link, state string, to io.Writer, frames int) error {
	v, err := viewer.Open(viewer.Config{State: state}) // keys and cameras are kept here
	if err != nil {
		return err
	}
	code, err := viewer.ReadCode(link)
	if err != nil {
		return err
	}

	paired, err := v.Pair(ctx, code) // once a person has compared code.Words() with the camera's
	if err != nil {
		return err
	}
	for _, c := range v.Cameras() {
		fmt.Println("paired with", c.Name)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return v.Watch(ctx, paired.ID, viewer.Watch{OnFrame: func(f viewer.Frame) {
		if f.Still || frames == 0 {
			return
		}
		to.Write(f.AccessUnit) // H.264 Annex B
		if frames--; frames == 0 {
			cancel()
		}
	}})
}

// A viewer that pairs, lists and writes frames.
func Example() {
	relayURL, stopRelay := sdktest.StartRelay()
	defer stopRelay()
	links, stopCamera := sdktest.StartCamera(relayURL, "front door")
	defer stopCamera()
	state, err := os.MkdirTemp("", "viewer-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(state)

	var stream bytes.Buffer
	err = film(context.Background(), <-links, state, &stream, 5)
	fmt.Println("error:", err)
	fmt.Println("a byte stream:", bytes.HasPrefix(stream.Bytes(), []byte{0, 0, 0, 1}))
	// Output:
	// paired with front door
	// error: <nil>
	// a byte stream: true
}
