package media

import (
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"sync"

	"github.com/peephole-cam/peephole/media/sandbox"
)

// ffmpeg is the ffmpeg program with the rights that one use of it needs. Nothing it reads can be trusted: a camera can
// be hacked, and decoders have bugs.
type ffmpeg struct {
	path  string
	needs sandbox.Needs
	log   *slog.Logger

	mu    sync.Mutex // guards the fields below
	fits  bool       // the program starts when it is confined
	known bool       // fits is known
}

// findFFmpeg returns the program of that name; "ffmpeg" if name is empty. log may be nil.
func findFFmpeg(name string, needs sandbox.Needs, log *slog.Logger) (*ffmpeg, error) {
	if name == "" {
		name = "ffmpeg"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, ErrNoFFmpeg
	}

	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &ffmpeg{path: path, needs: needs, log: log}, nil
}

// start starts cmd, confined unless the program does not start that way. The first time, it logs which protections
// hold.
func (f *ffmpeg) start(ctx context.Context, cmd *exec.Cmd) (*sandbox.Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.known
	if first {
		f.fits = sandbox.Fits(ctx, f.path, "-version", f.needs)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		f.known = true
	}

	if !f.fits {
		if first {
			f.log.Warn("ffmpeg runs unconfined: it does not start when confined, "+
				"perhaps because it is installed in an unusual place", "program", f.path)
		}
		return sandbox.StartFree(cmd)
	}

	p, err := sandbox.Start(cmd, f.needs)
	if err == nil && first {
		f.logProtections(p.Held)
	}
	return p, err
}

func (f *ffmpeg) logProtections(held sandbox.Held) {
	by := strings.Join(held.By, ", ")
	if len(held.Missing) == 0 {
		f.log.Debug("ffmpeg is confined", "from", by)
		return
	}
	f.log.Warn("ffmpeg is confined in part", "from", by, "not_from", strings.Join(held.Missing, ", "))
}
