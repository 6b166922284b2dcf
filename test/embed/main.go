// Command doorbell embeds a relay, a camera and a viewer, like somebody else's program: it is a module of its own, so
// that it builds only with what the module next door exports. It pairs the viewer with the camera, prints how many
// frames it got, and ends.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/viewer"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: doorbell INPUT STATE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1], os.Args[2], os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves the picture of an input, watches it, and returns after frames frames. It keeps its state in a folder.
func run(ctx context.Context, input, state string, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	r, err := relay.New(relay.Config{Listen: "127.0.0.1:0", TURN: "127.0.0.1:0"})
	if err != nil {
		cancel()
		return err
	}

	serving := make(chan error, 1)
	go func() { serving <- r.Run(ctx) }()
	defer func() { cancel(); <-serving }()

	links, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- runCamera(ctx, input, r.URL(), filepath.Join(state, "camera"), links) }()
	select {
	case link := <-links:
		err = watch(ctx, link, filepath.Join(state, "viewer"), stdout)
		cancel()
		<-ended
	case err = <-ended:
	}

	return err
}

// runCamera serves until ctx ends, and sends the link of its first code.
func runCamera(ctx context.Context, input, relayURL, state string, links chan<- string) error {
	source, err := media.Open(ctx, input)
	if err != nil {
		return err
	}
	return camera.Run(ctx, camera.Config{
		State:    state,
		RelayURL: relayURL,
		Name:     "doorbell",
		Source:   source,
		OnCode: func(code camera.Code) {
			select {
			case links <- code.URI():
			default: // the first one was enough
			}
		},
	})
}

// frames is how many frames watch waits for.
const frames = 5

// watch pairs with the camera behind a link, and counts its frames.
func watch(ctx context.Context, link, state string, stdout io.Writer) error {
	v, err := viewer.Open(viewer.Config{State: state})
	if err != nil {
		return err
	}
	code, err := viewer.ReadCode(link)
	if err != nil {
		return err
	}

	paired, err := v.Pair(ctx, code)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	got := 0
	err = v.Watch(ctx, paired.ID, viewer.Watch{OnFrame: func(f viewer.Frame) {
		if f.Still || got == frames {
			return
		}
		if got++; got == frames {
			cancel()
		}
	}})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d frames of %s\n", got, paired.Name)

	return err
}
