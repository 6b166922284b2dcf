package agent

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/obs"
	"github.com/peephole-cam/peephole/media"
)

// awaited is a log that calls all as soon as it contains everything in want.
type awaited struct {
	mu   sync.Mutex
	b    bytes.Buffer // guarded by mu
	want []string
	all  context.CancelFunc
}

func (a *awaited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.b.Write(p)
	for _, w := range a.want {
		if !strings.Contains(a.b.String(), w) {
			return len(p), nil
		}
	}

	a.all()
	return len(p), nil
}

// brief is a source that shows a picture and then fails.
type brief struct{ media.Source }

func (s brief) Run(ctx context.Context, sink func(media.AccessUnit)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = s.Source.Run(ctx, func(u media.AccessUnit) {
		sink(u)
		if u.PTS > time.Second {
			cancel()
		}
	})

	return errors.New("the cable is out")
}

// The log tells how a camera is doing: its input, its relay, and which parts of its state cannot be read.
func TestLogSaysHowACameraDoes(t *testing.T) {
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	broken := filepath.Join(state, "pairs", "x.json")
	if err := errors.Join(os.Mkdir(filepath.Dir(broken), 0o700), os.WriteFile(broken, []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	log := &awaited{all: cancel, want: []string{
		`msg="input is live"`,
		`msg=input camera=porch state="no video: the cable is out"`,
		`msg=relay camera=porch err="cannot reach the relay at `,
		`msg="some viewers cannot watch"`,
	}}

	flags := Flags{State: state, Relay: "http://127.0.0.1:1", NoPortMap: true, Log: logFlags(t)}
	a, err := New(flags, &bytes.Buffer{}, log)
	if err != nil {
		t.Fatal(err)
	}
	source := func(identity string) media.Source { return brief{clips[0].Source(identity)} }

	if err := a.Run(ctx, []Camera{{
		Name:   "porch",
		State:  state,
		Source: source,
	}}, nil, nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the log lacks some of %q: %v\n%s", log.want, err, &log.b)
	}
}

// logFlags returns the defaults of a command's flags.
func logFlags(t *testing.T) (f obs.LogFlags) {
	t.Helper()
	fs := flag.NewFlagSet("camera", flag.ContinueOnError)
	f.Register(fs)
	return f
}

func TestRefusedPairingIsLogged(t *testing.T) {
	var log bytes.Buffer
	a := &Agent{}
	cfg := a.config(Camera{Name: "porch"}, slog.New(slog.NewTextHandler(&log, nil)))
	cfg.OnRefuse(errors.New("the code has expired"))
	if want := `msg="pairing refused" err="the code has expired"`; !strings.Contains(log.String(), want) {
		t.Errorf("logged %q, want %q", log.String(), want)
	}
}
