// Package agent is what the commands camera and camera-sim share: it runs cameras and their inputs in one process and
// tells the person at the terminal how to pair them.
//
// It prints, on standard output, a line `pair NAME URI` for each code of a camera that can be paired, followed by the QR when
// standard output is a terminal, and `paired NAME with viewer ID` when that has happened. Everything else goes to the log.
package agent

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/internal/obs"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/portmap"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// Flags are the flags that both commands have.
type Flags struct {
	State      string
	Relay      string
	RelayCert  string
	Ticket     string
	RelayOnly  bool
	PairWindow time.Duration
	PairMore   bool
	NoPortMap  bool
	Log        obs.LogFlags
}

// Register adds the flags to fs.
func (f *Flags) Register(fs *flag.FlagSet, state string) {
	fs.StringVar(&f.State, "state", state, "`directory` of keys and roster; made with mode 0700, never leaves this machine")
	fs.StringVar(&f.Relay, "relay", "", "home relay's `URL`: https://HOST[:PORT], or http://127.0.0.1:PORT on this machine")
	fs.StringVar(&f.RelayCert, "relay-cert", "", "PEM `file` to trust for the relay instead of the system's roots (a self-signed relay)")
	fs.StringVar(&f.Ticket, "ticket", "", "`file` with the relay operator's ticket, where the relay asks for one")
	fs.BoolVar(&f.RelayOnly, "relay-only", false, "go through the relay's TURN server always, so that nobody who watches learns this network's address")
	fs.DurationVar(&f.PairWindow, "pair-window", 10*time.Minute, "how long after the start an unowned camera can be paired; 0 closes the window")
	fs.BoolVar(&f.PairMore, "pair-more", false, "open the set-up window although the camera has an owner, to pair another viewer")
	fs.BoolVar(&f.NoPortMap, "no-portmap", false, "never ask the router here to open a port, by PCP, NAT-PMP or UPnP; else one is open for each session, while it lasts")
	f.Log.Register(fs)
}

// Camera is one camera to run.
type Camera struct {
	Name   string
	State  string // directory
	Source func(identity string) media.Source
	Low    media.Source // the same at a lower rate; nil: there is none
}

// Agent runs cameras.
type Agent struct {
	flags  Flags
	log    *slog.Logger
	ports  session.PortMapper // nil: none
	tls    *tls.Config
	ticket []byte

	mu  sync.Mutex
	out io.Writer // guarded by mu
	qr  bool
}

// New reads what the flags name.
func New(f Flags, stdout, stderr io.Writer) (*Agent, error) {
	if f.Relay == "" {
		return nil, errors.New("no relay given: say -relay https://HOST, or -relay http://127.0.0.1:7880 for one on this machine")
	}
	if f.State == "" {
		return nil, errors.New("no home directory to keep keys in: say -state DIR")
	}
	log, err := f.Log.Logger(stderr)
	if err != nil {
		return nil, err
	}
	a := &Agent{flags: f, log: log, out: stdout}
	if !f.NoPortMap {
		a.ports = portmap.New(log)
	}
	if a.tls, err = signaling.TrustFile(f.RelayCert); err != nil {
		return nil, err
	}
	if f.Ticket != "" {
		text, err := os.ReadFile(f.Ticket)
		if err != nil {
			return nil, fmt.Errorf("read ticket: %w", err)
		}
		if a.ticket, err = base64.RawURLEncoding.DecodeString(strings.TrimSpace(string(text))); err != nil {
			return nil, fmt.Errorf("read ticket %s: not a ticket: ask the relay's operator for a new one", f.Ticket)
		}
	}
	if file, ok := stdout.(*os.File); ok {
		a.qr = term.IsTerminal(int(file.Fd()))
	}
	return a, nil
}

// Run runs the cameras until ctx ends, or one of them cannot start.
func (a *Agent) Run(ctx context.Context, cameras []Camera) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, c := range cameras {
		run, err := a.prepare(c)
		if err != nil {
			cancel(err)
			break
		}
		running.Go(func() { run(ctx) })
	}
	<-ctx.Done()
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// maxName is the longest camera name in characters.
const maxName = 64

// checkName refuses names that would break the lines that scripts read, or a viewer's screen.
func checkName(name string) error {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable) {
		return fmt.Errorf("read -name %q: want 1 to %d printable characters", name, maxName)
	}
	return nil
}

// prepare loads one camera and returns what runs it.
func (a *Agent) prepare(c Camera) (run func(context.Context), err error) {
	if err := checkName(c.Name); err != nil {
		return nil, err
	}
	log := a.log.With("camera", c.Name)
	var feed *media.Feed
	cfg := camera.Config{
		State: c.State, Name: c.Name, RelayURL: a.flags.Relay, Ticket: a.ticket, TLS: a.tls, RelayOnly: a.flags.RelayOnly,
		PairWindow: a.flags.PairWindow, PairMore: a.flags.PairMore, Stream: lazy{&feed}, PortMapper: a.ports, Logger: log,
		OnCode:   func(code pairing.Code) { a.show(c.Name, code) },
		OnPaired: func(viewer string) { a.printf("paired %s with viewer %s\n", c.Name, viewer) },
		OnRefuse: func(err error) { log.Warn("pairing refused", "err", err) },
		OnRelay: func(err error) {
			if err != nil {
				log.Warn("relay", "err", err)
				return
			}
			log.Info("connected to the relay")
		},
	}
	var feeds []*media.Feed
	if c.Low != nil {
		feeds = append(feeds, newFeed(c.Low, log.With("stream", "low")))
		cfg.Low = feeds[0]
	}
	device, err := camera.New(cfg)
	if device == nil {
		return nil, err
	}
	if err != nil {
		log.Error("some viewers cannot watch", "err", err)
	}
	release, err := lock(c.State)
	if err != nil {
		return nil, err
	}
	feed = newFeed(c.Source(device.Fingerprint().String()), log)
	feeds = append(feeds, feed)
	return func(ctx context.Context) {
		defer release()
		var parts sync.WaitGroup
		for _, f := range feeds {
			parts.Go(func() {
				if err := f.Run(ctx); err != nil && ctx.Err() == nil {
					log.Error("input ended", "err", err)
				}
			})
		}
		if err := device.Run(ctx); err != nil && ctx.Err() == nil {
			log.Error("camera ended", "err", err)
		}
		parts.Wait()
	}, nil
}

// newFeed is a feed that tells the log how it is doing.
func newFeed(source media.Source, log *slog.Logger) *media.Feed {
	return media.NewFeed(source, media.FeedOptions{Log: log, OnState: func(s media.State) {
		if s.Live {
			log.Info("input is live")
			return
		}
		log.Warn("input", "state", s.String())
	}})
}

// lazy breaks the circle between a camera, which needs its stream, and a stream whose mark is the camera's fingerprint.
type lazy struct{ feed **media.Feed }

func (l lazy) Subscribe() *media.Subscription { return (*l.feed).Subscribe() }
func (l lazy) State() media.State             { return (*l.feed).State() }

func (a *Agent) show(name string, code pairing.Code) {
	a.printf("pair %s %s\n", name, code.URI())
	if !a.qr {
		return
	}
	drawing, err := drawQR(code.URI())
	if err != nil {
		a.log.Error("draw QR", "err", err)
		return
	}
	a.printf("\n%s\n  Scan this with the phone that shall watch %q, or open the link above.\n\n", drawing, name)
}

func (a *Agent) printf(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.out, format, args...)
}
