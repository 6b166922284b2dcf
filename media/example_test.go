package media_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/peephole-cam/peephole/media"
)

// A Feed keeps a source running and hands its pictures to any number of subscribers. The name may as well be
// "rtsp://user:password@192.0.2.10/stream" or "/dev/video0".
func ExampleOpen() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	source, err := media.Open(ctx, "clips/clip0.h264")
	if err != nil {
		fmt.Println(err)
		return
	}

	feed := media.NewFeed(source, media.FeedOptions{})
	subscription := feed.Subscribe()
	go feed.Run(ctx)

	unit, err := subscription.Next(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("keyframe:", unit.Keyframe)
	// Output: keyframe: true
}

// The errors of Open tell a typing error from a missing file and a missing program.
func ExampleOpen_errors() {
	for _, name := range []string{"rtmp://192.0.2.10/stream", "nowhere.h264"} {
		_, err := media.Open(context.Background(), name)
		switch {
		case errors.Is(err, media.ErrInput):
			fmt.Println("not an input:", name)
		case errors.Is(err, fs.ErrNotExist):
			fmt.Println("no such file:", name)
		case errors.Is(err, media.ErrNoFFmpeg):
			fmt.Println("ffmpeg is not installed")
		}
	}
	// Output:
	// not an input: rtmp://192.0.2.10/stream
	// no such file: nowhere.h264
}
