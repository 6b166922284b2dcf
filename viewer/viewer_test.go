package viewer

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/printable"
)

// A name that was read from a file is bounded like one that a camera sends.
func TestNameFromDiskIsBounded(t *testing.T) {
	state := t.TempDir()
	self, err := identity.LoadOrCreate(state)
	if err != nil {
		t.Fatal(err)
	}
	camera, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}

	pair := &envelope.Pair{Self: self, Role: identity.Viewer, Peer: camera.Bundle()}
	record := pairing.Record{Pair: pair, RelayURL: "https://relay.example", Name: "\x1b[2J" + strings.Repeat("x", 1000)}
	if err := pairing.NewStore(state, self, identity.Viewer).Put(record); err != nil {
		t.Fatal(err)
	}

	v, err := Open(Config{State: state})
	if err != nil {
		t.Fatal(err)
	}
	name := v.Cameras()[0].Name
	if printable.CheckName(name) != nil || !strings.HasPrefix(name, "?[2J") {
		t.Errorf("the camera is called %q", name)
	}

	if _, err := v.find(name); err != nil {
		t.Errorf("the camera is not found by its name: %v", err)
	}
}

// If the clock's file cannot be read or written, that is logged, and the viewer opens anyway.
func TestClockThatCannotBeKeptIsLogged(t *testing.T) {
	state := t.TempDir()
	if err := os.MkdirAll(filepath.Join(state, "clock", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	v, err := Open(Config{State: state, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}

	v.reportClock(syscall.ENOSPC)
	for _, want := range []string{
		"the clock's file cannot be read, and is made anew",
		"the time cannot be kept on disk: make room there, or make it writable",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("logged %s\nwant %q", &log, want)
		}
	}
}
