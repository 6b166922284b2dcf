// Package agent is what the commands camera and camera-sim share: it runs cameras and their inputs in one process and
// shows the person at the terminal how to pair them.
//
// For each pairing code it prints the lines `pair NAME URI` and `words NAME WORDS` on standard output, followed by a QR
// code if that is a terminal, and `paired NAME with viewer ID (WORDS)` once a viewer has paired. Everything else goes
// to the log.
package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/cmd/internal/obs"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/nat/portmap"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/session"
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
	LAN        bool
	P2PRelays  []string
	Log        obs.LogFlags
}

// maxPairWindow bounds how long a code may lie around for anyone who comes by.
const maxPairWindow = 24 * time.Hour

// Register adds the flags to fs. state is the default of -state, and lan that of -lan.
func (f *Flags) Register(fs *flag.FlagSet, state string, lan bool) {
	fs.StringVar(&f.State, "state", state,
		"`directory` of keys and paired viewers; made with mode 0700, never leaves this machine")
	fs.StringVar(&f.Relay, "relay", "",
		"`URL` of your relay; https://HOST[:PORT], or http://127.0.0.1:PORT on this machine")
	fs.StringVar(&f.RelayCert, "relay-cert", "",
		"PEM `file` to trust for the relay; instead of the system's roots, for a self-signed relay")
	fs.StringVar(&f.Ticket, "ticket", "", "`file` with the relay operator's ticket; only if the relay asks for one")
	fs.BoolVar(&f.RelayOnly, "relay-only", false,
		"hide your IP address from viewers; everything goes through the relay's TURN server")
	cli.DurationVar(fs, &f.PairWindow, "pair-window", 10*time.Minute, 0, maxPairWindow,
		"`time` for which a camera without an owner can be paired; counted from the start, 0 to 24h; 0: never")
	fs.BoolVar(&f.PairMore, "pair-more", false,
		"pair another viewer; opens the set-up window of a camera that has an owner")
	fs.BoolVar(&f.NoPortMap, "no-portmap", false,
		"never ask your router to open a port; without this flag one is open during each session, "+
			"by PCP, NAT-PMP or UPnP")

	fs.BoolVar(&f.LAN, "lan", lan,
		"be found by viewers on your own network without the relay; "+
			"this announces a name there that changes every day")
	fs.Func("p2p-relay", "`MULTIADDR` of a libp2p circuit relay through which viewers find the camera when your relay "+
		"is gone; may be given up to 8 times", f.addP2PRelay)
	f.Log.Register(fs)
}

// addP2PRelay adds a circuit relay.
func (f *Flags) addP2PRelay(text string) error {
	if err := p2p.CheckRelay(text); err != nil {
		return err
	}
	f.P2PRelays = append(f.P2PRelays, text)
	return nil
}

// Camera is one camera to run.
type Camera struct {
	Name   string
	State  string // directory
	Source func(identity string) media.Source
	Low    media.Source // the same picture at a lower rate; nil: none
}

// Agent runs cameras.
type Agent struct {
	Log *slog.Logger // as the flags say

	flags   Flags
	ports   session.PortMapper // nil: none
	tls     *tls.Config
	ticket  []byte
	devices []*camera.Camera
	board   *board
	history *history
}

// New returns an agent that does what the flags say. It reads the files they name.
func New(f Flags, stdout, stderr io.Writer) (*Agent, error) {
	if f.Relay == "" {
		return nil, errors.New("no relay given: say -relay https://HOST, " +
			"or -relay http://127.0.0.1:7880 for one on this machine")
	}
	if f.State == "" {
		return nil, errors.New("no home directory to keep keys in: say -state DIR")
	}

	if !f.LAN && len(f.P2PRelays) > 0 {
		return nil, errors.New("-p2p-relay has no effect with -lan=false: leave one of them out")
	}

	b, h := newBoard(stdout, stderr), newHistory()
	log := f.Log.Logger(io.MultiWriter(h, b)) // h takes every line, even one that b cannot write
	a := &Agent{Log: log, flags: f, board: b, history: h}
	if !f.NoPortMap {
		a.ports = portmap.New(log)
	}

	if err := a.readAccessFiles(); err != nil {
		return nil, err
	}
	return a, nil
}

// Run runs the cameras until ctx ends, or one of them cannot start. After each hangup it reloads the agent's own files,
// and calls reloadInputs unless that is nil.
func (a *Agent) Run(ctx context.Context, cameras []Camera, hangups <-chan struct{}, reloadInputs func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer a.board.close()
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

	a.followHangups(ctx, hangups, reloadInputs)
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// prepare loads one camera and returns the function that runs it.
func (a *Agent) prepare(c Camera) (run func(context.Context), err error) {
	if err := camera.CheckName(c.Name); err != nil {
		return nil, fmt.Errorf("read -name: %w", err)
	}
	log := a.Log.With("camera", c.Name)
	var feed *media.Feed
	cfg := a.config(c, log)
	cfg.Stream = lazy{&feed}
	var feeds []*media.Feed
	if c.Low != nil {
		feeds = append(feeds, newFeed(c.Low, log.With("stream", "low")))
		cfg.Low = feeds[0]
	}

	device, err := camera.New(cfg)
	if err != nil {
		return nil, err
	}
	release, err := lock(c.State)
	if err != nil {
		return nil, err
	}

	a.devices = append(a.devices, device)
	feed = newFeed(c.Source(device.Fingerprint().String()), log)
	feeds = append(feeds, feed)
	return func(ctx context.Context) {
		defer release()

		var parts sync.WaitGroup
		for _, f := range feeds {
			parts.Go(func() { _ = f.Run(ctx) }) // returns ctx's error and no other, as Run does below
		}
		_ = device.Run(ctx)
		parts.Wait()
	}, nil
}

// config returns a camera's configuration, without its streams.
func (a *Agent) config(c Camera, log *slog.Logger) camera.Config {
	window := a.flags.PairWindow
	if window == 0 {
		window = -1 // to camera.Config 0 is the default
	}
	return camera.Config{
		State:      c.State,
		Name:       c.Name,
		RelayURL:   a.flags.Relay,
		Ticket:     a.ticket,
		TLS:        a.tls,
		RelayOnly:  a.flags.RelayOnly,
		PairWindow: window,
		PairMore:   a.flags.PairMore,
		LAN:        a.flags.LAN,
		P2PRelays:  a.flags.P2PRelays,
		PortMapper: a.ports,
		Logger:     log,
		Log:        a.history.text,
		OnCode:     func(code pairing.Code) { a.show(c.Name, code) },
		OnPaired:   func(viewer identity.Fingerprint) { a.paired(c.Name, viewer) },
		OnClosed:   func() { a.board.takeDown(c.Name, "") },
		OnRefuse:   func(err error) { log.Warn("pairing refused", "err", err) },
		OnRelay: func(err error) {
			if err != nil {
				log.Warn("relay", "err", err)
				return
			}
			log.Info("connected to the relay")
		},
	}
}

// newFeed returns a feed that logs how it is doing.
func newFeed(source media.Source, log *slog.Logger) *media.Feed {
	return media.NewFeed(source, media.FeedOptions{Log: log, OnState: func(s media.State) {
		if s.Live {
			log.Info("input is live")
			return
		}
		log.Warn("input", "state", s.String())
	}})
}

// lazy breaks a cycle: a camera needs its stream, and the stream is marked with the camera's fingerprint.
type lazy struct{ feed **media.Feed }

func (l lazy) Subscribe() *media.Subscription { return (*l.feed).Subscribe() }
func (l lazy) State() media.State             { return (*l.feed).State() }

// show shows a camera's code.
func (a *Agent) show(name string, code pairing.Code) {
	if err := a.board.show(name, code); err != nil {
		a.Log.Error("show code", "err", err)
	}
}

func (a *Agent) paired(name string, viewer identity.Fingerprint) {
	words := strings.Join(pairing.DeviceWords(viewer), " ")
	a.board.takeDown(name, fmt.Sprintf("paired %s with viewer %s (%s)\n", name, viewer.String(), words))
}
