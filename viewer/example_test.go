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

// film pairs with the camera that shows a link, lists all cameras, and writes this one's stream until ctx ends.
func film(ctx context.Context, link, state string, to io.Writer) error {
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
	return v.Watch(ctx, paired.ID, viewer.Watch{OnFrame: func(f viewer.Frame) {
		if !f.Still {
			to.Write(f.AccessUnit) // H.264 Annex B
		}
	}})
}

// recording keeps what is written, and calls full once it has frames writes.
type recording struct {
	bytes.Buffer
	frames int
	full   func()
}

// Write adds one frame.
func (r *recording) Write(frame []byte) (int, error) {
	if r.frames--; r.frames == 0 {
		r.full()
	}
	return r.Buffer.Write(frame)
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

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream := &recording{frames: 5, full: cancel}
	err = film(ctx, <-links, state, stream)
	fmt.Println("error:", err)
	fmt.Println("a byte stream:", bytes.HasPrefix(stream.Bytes(), []byte{0, 0, 0, 1}))
	// Output:
	// paired with front door
	// error: <nil>
	// a byte stream: true
}
