// Package relay is the operator's server as a package: signaling, TURN and the web page, for any program to run.
// Command relay is one such program.
//
// It carries what devices have sealed, and holds no key that opens it. It does not even link the packages that open
// things (test/archtest checks that). [New] takes the ports, and [Relay.Run] serves until its context ends:
//
//	r, err := relay.New(relay.Config{Listen: "127.0.0.1:0", TURN: "127.0.0.1:0"})
//	if err != nil {
//		return err
//	}
//	fmt.Println("relay at", r.URL())
//	return r.Run(ctx)
//
// Every TCP connection takes one of a bounded number of places before a byte of it is read, so that a flood of
// strangers cannot push out clients that are being served. Therefore, on Linux, New raises the process's limit of open
// files.
package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/mail/jetstream"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/web"
)

const (
	stopTimeout  = 5 * time.Second
	readyTimeout = 5 * time.Second

	// fewFiles is too few for a relay that serves the world.
	fewFiles = 4096
)

// ListenError is returned by New if it cannot listen on an address. Err says why.
type ListenError struct {
	Field   string // the field of Config: "Listen", "WebTransport", "TURN", "TURNTLS", "P2P" or "Metrics"
	Address string
	Err     error
}

// Error implements error.
func (e *ListenError) Error() string {
	cause := e.Err
	var errno syscall.Errno
	if errors.As(cause, &errno) {
		cause = errno
	}
	return fmt.Sprintf("listen on %s: %v", e.Address, cause)
}

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Relay is a relay that has its ports. Run serves.
type Relay struct {
	cfg       Config
	log       *slog.Logger
	url       string // the public URL
	places    *places
	main      *door   // at Listen
	turnDoors []*door // TURN's own doors, for TCP
	metrics   *door   // nil if there is none
	turn      *turnService
	mail      *jetstream.Store // nil if messages are kept in memory
	signaling *server.Server
	pages     *pages
	circuits  *p2p.Relay // nil if there is none

	webTransport *webTransport // nil if there is none

	certificate servedCertificate
	regions     servedRegions
}

// New takes the ports and makes the parts. Connections wait until Run serves them. New returns an error that wraps
// ErrConfig, a *ListenError, turn.ErrXDP, ErrMail, ErrNATS, or the error of Certificate, Secret or Regions. Close a
// relay that is never run.
func New(cfg Config) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}

	cfg = cfg.withDefaults()
	r := &Relay{cfg: cfg, log: cfg.Logger}
	if err := r.start(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Relay) start() error {
	c := &r.cfg
	if err := r.openPlaces(raiseFiles()); err != nil {
		return err
	}
	streams, err := r.openDoors()
	if err != nil {
		return err
	}

	if c.Regions != nil {
		if err := r.loadRegions(); err != nil {
			return err
		}
	}
	if r.turn, err = newTURN(c, r.url, streams, r.log.With("part", "turn")); err != nil {
		return err
	}
	r.shareTURN()
	if r.pages, err = newPages(web.Files(), r.url, r.regionURLs, r.places.chargeClient); err != nil {
		return err
	}

	if err = r.openCircuits(); err != nil {
		return err
	}

	if c.Node == "" {
		c.Node = hostname(r.url)
	}
	if err := r.openMail(); err != nil {
		return err
	}
	if r.signaling, err = server.New(r.signalingConfig()); err != nil {
		return err
	}
	return r.openWebTransport()
}

// URL returns the relay URL that devices dial.
func (r *Relay) URL() string { return r.url }

// TURNURLs returns the ICE server URLs (RFC 7064, RFC 7065) that the relay gives to devices.
func (r *Relay) TURNURLs() []string { return r.turn.urls }

func (r *Relay) signalingConfig() server.Config {
	cfg := server.Config{
		Node:              r.cfg.Node,
		PublicURL:         r.url,
		TicketKey:         r.cfg.TicketKey,
		Granter:           r.turn,
		Bus:               bus.NewLocal(),
		Memory:            r.cfg.Memory,
		Logger:            r.log.With("part", "signaling"),
		LoopbackUnlimited: r.cfg.LoopbackUnlimited,
		Place:             placeOf,
	}
	if r.mail != nil {
		cfg.Mail = r.mail
	}
	return cfg
}

// openPlaces divides the connections that the process may have with this number of open files. If err is not nil, it
// only returns err.
func (r *Relay) openPlaces(files int, err error) error {
	if err != nil {
		return err
	}

	if files < fewFiles {
		r.log.Warn("few connections are possible: say LimitNOFILE=65536 in the service, or raise ulimit -n",
			"open files", files)
	}
	r.places = newPlaces(files, &r.cfg)
	return nil
}

// openDoors takes the TCP ports.
func (r *Relay) openDoors() (streams turnStreams, err error) {
	c := &r.cfg
	if r.main, err = r.openDoor("listen", "Listen", c.Listen); err != nil {
		return streams, err
	}
	if r.url = c.PublicURL; r.url == "" {
		r.url = c.derivedURL(r.main.Addr())
	}

	var secure *tls.Config // nil means plain HTTP
	if c.Certificate != nil {
		if err := r.loadCertificate(); err != nil {
			return streams, err
		}
		secure = r.certificate.config()
	}

	if strings.HasPrefix(r.url, "https://") != (c.Certificate != nil) && len(c.TrustedProxies) == 0 {
		r.log.Warn("all clients of a proxy share one address, and its limits: name it as a trusted proxy")
	}
	if c.sharesPort(r.url) {
		streams.shared = r.main.serveBoth(secure)
	} else {
		r.main.serveHTTP(secure)
	}

	tcp, err := r.openDoor("turn", "TURN", c.TURN)
	if err != nil {
		return streams, err
	}
	r.turnDoors = append(r.turnDoors, tcp)
	streams.tcp = tcp.serveTURN(nil)

	if c.TURNTLS != "" && c.TURNTLS != NoTURNTLS {
		over, err := r.openDoor("turn-tls", "TURNTLS", c.TURNTLS)
		if err != nil {
			return streams, err
		}
		r.turnDoors = append(r.turnDoors, over)
		streams.tls = over.serveTURN(secure)
	}

	if c.Metrics != "" {
		if r.metrics, err = r.openDoor("metrics", "Metrics", c.Metrics); err != nil {
			return streams, err
		}
		r.metrics.lobby, r.metrics.proxied = r.places.operator, false
		r.metrics.serveHTTP(nil)
	}

	return streams, nil
}

// openDoor listens at the address in a field of the Config. name is the door's name in Refusals.
func (r *Relay) openDoor(name, field, address string) (*door, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &ListenError{Field: field, Address: address, Err: err}
	}
	return newDoor(name, l, r.places, r.log.With("part", "door")), nil
}

// doors returns all doors.
func (r *Relay) doors() []*door {
	var all []*door
	for _, d := range append([]*door{r.main, r.metrics}, r.turnDoors...) {
		if d != nil {
			all = append(all, d)
		}
	}
	return all
}

// Close closes the ports of a relay that is never run. After Run it does nothing.
func (r *Relay) Close() error {
	var errs []error
	for _, d := range r.doors() {
		errs = append(errs, d.Close())
	}
	if r.turn != nil {
		errs = append(errs, r.turn.server.Close())
	}
	if r.mail != nil {
		errs = append(errs, r.mail.Close())
	}
	if r.circuits != nil {
		errs = append(errs, r.circuits.Close())
	}
	if r.webTransport != nil {
		errs = append(errs, r.webTransport.Close())
	}

	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, net.ErrClosed) })
	return errors.Join(errs...)
}

// Run serves until ctx ends, and then returns nil, or until a part of the relay fails, and then returns its error. When
// ctx ends, signaling and the Listen port end at once, but TURN keeps its clients for Config.Drain. Run must be called
// only once. It closes the relay.
func (r *Relay) Run(ctx context.Context) error {
	defer r.Close()
	told := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drained, end := r.drained(told, ctx)
	defer end()

	parts := map[string]func(context.Context) error{
		"signaling": r.runSignaling,
		"turn udp":  func(context.Context) error { return r.turn.Run(drained) },
		"http":      func(ctx context.Context) error { return r.serveHTTP(ctx, r.main, r.handler()) },
		// This ends before TURN has drained, because the next process wants the port. TURN keeps its connections.
		"listen": r.main.Run,
	}

	if r.cfg.Regions != nil {
		parts["regions"] = r.followRegions
	}
	if r.circuits != nil {
		parts["circuits"] = r.runCircuits
	}
	if r.webTransport != nil {
		parts["webtransport"] = r.webTransport.Run
	}
	for _, d := range r.turnDoors {
		parts[d.name] = func(context.Context) error { return d.Run(drained) }
	}
	if r.metrics != nil {
		parts["metrics port"] = func(context.Context) error { return r.metrics.Run(drained) }
		parts["metrics"] = func(context.Context) error { return r.serveHTTP(drained, r.metrics, r.metricsHandler()) }
	}

	var running sync.WaitGroup
	failed := make(chan error, len(parts))
	for name, part := range parts {
		running.Go(func() {
			if err := part(ctx); err != nil {
				failed <- fmt.Errorf("serve %s: %w", name, err)
			}
			cancel()
		})
	}

	unready := r.announce(ctx)
	if unready != nil {
		cancel()
	}
	running.Wait()
	close(failed)
	if err := <-failed; err != nil {
		return err // which may be why the relay did not become ready
	}
	return unready
}

// drained returns a context that ends after ctx. If the caller's context told has ended, it ends once TURN has drained.
// If a part has failed, it ends at once.
func (r *Relay) drained(told, ctx context.Context) (drained context.Context, end func()) {
	drained, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer stop()
		<-ctx.Done()
		if r.cfg.Drain == 0 || told.Err() == nil {
			return
		}

		waiting, cancel := context.WithTimeout(drained, r.cfg.Drain)
		defer cancel()
		r.log.Info("draining", "allocations", r.turn.server.Stats().Allocations, "for", r.cfg.Drain)
		if err := r.turn.server.Drain(waiting, r.cfg.DrainTo...); err != nil {
			r.log.Warn("clients of TURN are cut off", "allocations", r.turn.server.Stats().Allocations)
		}
	}()

	return drained, func() { <-done }
}

func (r *Relay) announce(ctx context.Context) error {
	checking, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := r.CheckTURN(checking); err != nil {
		if ctx.Err() != nil {
			return nil // the relay is stopping, or another part reports why
		}
		return err
	}

	admission := "open"
	if r.cfg.TicketKey != nil {
		admission = "ticket"
	}
	r.log.Info("serving", "url", r.url, "turn", strings.Join(r.turn.urls, " "), "admission", admission)
	if r.cfg.OnReady != nil {
		r.cfg.OnReady()
	}

	return nil
}

// derivedURL returns the relay URL of the main listener.
func (c *Config) derivedURL(at net.Addr) string {
	host, _, _ := net.SplitHostPort(c.Listen) // validated
	_, port, _ := net.SplitHostPort(at.String())
	return DerivedURL(net.JoinHostPort(host, port), c.Certificate != nil)
}
