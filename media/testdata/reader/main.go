// Command reader reads an input and keeps its current group of pictures, like an agent whose camera nobody watches. For
// each picture that is marked with the time of its sending, it prints how long ago that was, and how long it has run,
// in nanoseconds.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/peephole-cam/peephole/media"
)

// timed prints these two times for each access unit that has them.
type timed struct {
	media.Source
	begun time.Time
}

func (t timed) Run(ctx context.Context, sink func(media.AccessUnit)) error {
	return t.Source.Run(ctx, func(u media.AccessUnit) {
		now := time.Now()
		for _, mark := range media.Marks(u.Data[:min(len(u.Data), 8192)]) {
			if sent, err := strconv.ParseInt(mark, 10, 64); err == nil {
				fmt.Println(now.UnixNano()-sent, now.Sub(t.begun).Nanoseconds())
			}
		}
		sink(u)
	})
}

func main() {
	source, err := media.Open(context.Background(), os.Args[1])
	if err != nil {
		panic(err)
	}
	panic(media.NewFeed(timed{source, time.Now()}, media.FeedOptions{}).Run(context.Background()))
}
