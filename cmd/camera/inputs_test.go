package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media"
)

// writeList replaces the file that standard input is read from by another of the same name, as editors do.
func writeList(t *testing.T, path string, lines ...string) {
	t.Helper()
	err := os.WriteFile(path+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}

	if err != nil {
		t.Fatal(err)
	}
}

// clip returns the path of one of the clips.
func clip(name string) string { return filepath.Join("..", "..", "media", "clips", name) }

// first reads an input's first picture.
func first(t *testing.T, source media.Source) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var data []byte
	err := source.Run(ctx, func(unit media.AccessUnit) {
		if data == nil {
			data = unit.Data
			cancel()
		}
	})

	if data == nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReloadReplacesChangedInputsOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "front.input")
	writeList(t, file, "# front door", "", clip("clip0.h264"), clip("clip1.h264"))
	stdin, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}

	defer stdin.Close()
	in, err := openInputs(t.Context(), []string{"-", "-"}, stdin, nil, media.Opener{})
	if err != nil {
		t.Fatal(err)
	}
	main, low := first(t, in.switches[0]), first(t, in.switches[1])

	running := make(chan error, 1)
	begun := make(chan struct{}, 1)
	go func() {
		running <- in.switches[0].Run(t.Context(), func(media.AccessUnit) {
			select {
			case begun <- struct{}{}:
			default:
			}
		})
	}()

	<-begun
	writeList(t, file, clip("clip0.h264"), clip("clip2.h264"))
	if err := in.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first(t, in.switches[0]) != main || first(t, in.switches[1]) == low {
		t.Error("want only the second input changed, since only the second line of the list was")
	}

	select {
	case err := <-running:
		t.Errorf("the unchanged input ended: %v", err)
	default:
	}

	writeList(t, file, clip("clip3.h264"), clip("clip2.h264"))
	if err := in.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-running; err == nil || !strings.Contains(err.Error(), "the input was replaced: opening the new one") {
		t.Errorf("the replaced input ended with %v", err)
	}

	if first(t, in.switches[0]) == main {
		t.Error("the old input is still read")
	}
}

func TestBadListLeavesTheInputsAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "front.input")
	writeList(t, file, clip("clip0.h264"))
	stdin, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}

	defer stdin.Close()
	in, err := openInputs(t.Context(), []string{"-"}, stdin, nil, media.Opener{})
	if err != nil {
		t.Fatal(err)
	}
	before := first(t, in.switches[0])

	for name, lines := range map[string][]string{
		"empty":             {"# nothing"},
		"a missing file":    {filepath.Join(t.TempDir(), "none.h264")},
		"an unknown scheme": {"gopher://admin:hunter2@192.0.2.1/live"},
	} {
		writeList(t, file, lines...)
		if err := in.reload(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		if first(t, in.switches[0]) != before {
			t.Errorf("%s: the old input is no longer read", name)
		}
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := in.reload(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
}

func TestPipeIsNotReadAgain(t *testing.T) {
	out, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()

	defer typed.Close()
	if _, err := typed.WriteString(clip("clip0.h264") + "\n"); err != nil {
		t.Fatal(err)
	}
	in, err := openInputs(t.Context(), []string{"-"}, out, nil, media.Opener{})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.reload(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := in.list.reopen(); !errors.Is(err, errNoFile) {
		t.Errorf("reopen: %v, want %v", err, errNoFile)
	}
}
