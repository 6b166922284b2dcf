package main

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/peephole-cam/peephole/media"
)

func TestDoorbellWatchesItself(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), "../../media/clips/clip0.h264", t.TempDir(), &out); err != nil {
		t.Fatal(err)
	}
	if want := "5 frames of doorbell\n"; out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
}

func TestInputThatIsNoneIsSaid(t *testing.T) {
	if err := run(t.Context(), "rtmp://192.0.2.1/x", t.TempDir(), new(bytes.Buffer)); !errors.Is(err, media.ErrInput) {
		t.Errorf("%v, want %v", err, media.ErrInput)
	}
}

func TestDoorbellEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, "../../media/clips/clip0.h264", t.TempDir(), new(bytes.Buffer)); !errors.Is(err,
		context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}
