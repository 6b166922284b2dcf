package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
)

// A camera that refreshes its picture bit by bit has no complete one at first. The snapshot waits for it and says why,
// instead of failing with the decoder's words.
func TestSnapshotWaitsForACompletePicture(t *testing.T) {
	film, err := os.ReadFile("../../media/testdata/refresh.h264")
	if err != nil {
		t.Fatal(err)
	}
	units, err := media.Split(film)
	if err != nil {
		t.Fatal(err)
	}

	units = units[10:] // a refresh begins here

	c := &command{stderr: io.Discard, log: slog.New(slog.DiscardHandler)}
	s := c.newSnapshot(time.Minute)

	// The clock stands still: how long ffmpeg takes on a busy machine does not matter here.
	still := clock.New(func() time.Duration { return 0 }, func() time.Time { return time.Unix(1e9, 0) })
	live := session.Frame{Challenged: still.Now()}
	picture, err := s.encode(t.Context(), bytes.Join(units[:5], nil), live)
	if picture != nil || err != nil {
		t.Errorf("the first five pictures of a refresh gave %d bytes, %v", len(picture), err)
	}

	if why := s.line.reason(); why != "the camera refreshes its picture bit by bit, and it is not complete yet" {
		t.Errorf("the reason for waiting is %q", why)
	}

	picture, err = s.encode(t.Context(), bytes.Join(units, nil), live)
	if picture == nil || err != nil {
		t.Errorf("the complete refresh gave %d bytes, %v", len(picture), err)
	}
}
