package media

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMain runs a Feed and nothing else in the process that TestChildDiesWithUs starts and kills.
func TestMain(m *testing.M) {
	if program := os.Getenv("MEDIA_TEST_FEED"); program != "" {
		in, _ := ParseInput("test")
		source, err := in.Open(InputOptions{FFmpeg: program})
		if err == nil {
			err = source.Run(context.Background(), func(AccessUnit) {})
		}
		panic(err)
	}
	os.Exit(m.Run())
}

// TestChildDiesWithUs kills a process that reads an input, which leaves it no time to end its child.
func TestChildDiesWithUs(t *testing.T) {
	dir := t.TempDir()
	program, fifo := filepath.Join(dir, "ffmpeg"), filepath.Join(dir, "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 600 9>"+fifo+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MEDIA_TEST_FEED="+program)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	alive, err := os.Open(fifo) // returns when the child has opened it for writing
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if err := alive.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		t.Fatal(err)
	}
	if _, err := alive.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the child outlives its parent: %v", err)
	}
}
