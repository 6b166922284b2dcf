package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/peephole-cam/peephole/internal/doctor"
	"github.com/peephole-cam/peephole/internal/obs"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/server"
	"github.com/peephole-cam/peephole/web"
)

const (
	stopTimeout  = 5 * time.Second
	readyTimeout = 5 * time.Second
)

// relay is the parts of a running relay.
type relay struct {
	cfg       config
	log       *slog.Logger
	url       string       // the public one
	main      net.Listener // HTTP
	shared    *mux         // of the main port; nil: HTTP alone is served there
	metrics   net.Listener // nil: none
	turn      *turnService
	signaling *server.Server
	pages     *pages
}

func serveCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stderr)
	if err != nil {
		return err
	}
	r := &relay{cfg: cfg, log: obs.NewLogger(stderr, cfg.logFormat, cfg.logLevel)}
	defer r.close()
	fingerprint, err := r.start()
	if err != nil {
		return err
	}
	return r.serve(ctx, func() error {
		if fingerprint != "" {
			fmt.Fprintln(stdout, "certificate sha256", fingerprint)
		}
		_, err := fmt.Fprintln(stdout, "ready", r.url)
		return err
	})
}

// start takes the ports and makes the parts; nothing is served yet.
func (r *relay) start() (fingerprint string, err error) {
	c := &r.cfg
	if err := checkState(c.state); err != nil {
		return "", err
	}
	if r.main, err = listen("-listen", c.listen); err != nil {
		return "", err
	}
	if r.url = c.publicURL; r.url == "" {
		r.url = c.derivedURL(r.main.Addr())
	}
	secure, fingerprint, err := c.certificate(hostname(r.url), time.Now())
	if err != nil {
		return "", err
	}
	var forTURN net.Listener
	switch {
	case c.shares(r.url):
		r.shared = newMux(r.main, secure, r.log.With("part", "mux"))
		r.main, forTURN = r.shared.http, r.shared.turn
	case secure != nil:
		r.main = tls.NewListener(r.main, secure)
	}
	if c.metrics != "" {
		if r.metrics, err = listen("-metrics", c.metrics); err != nil {
			return "", err
		}
	}
	if r.turn, err = newTURN(c, r.url, secure, forTURN, r.log.With("part", "turn")); err != nil {
		return "", err
	}
	var operator ed25519.PublicKey
	if c.admission == string(admitTickets) {
		key, err := operatorKey(c.state)
		if err != nil {
			return "", err
		}
		operator = key.Public().(ed25519.PublicKey)
	}
	if r.pages, err = newPages(web.Files()); err != nil {
		return "", err
	}
	if c.node == "" {
		c.node = hostname(r.url)
	}
	r.signaling, err = server.New(server.Config{
		Node:      c.node,
		PublicURL: r.url, TicketKey: operator, Granter: r.turn, Bus: bus.NewLocal(), Logger: r.log.With("part", "signaling"),
	})
	return fingerprint, err
}

// close frees what start took; after serve there is nothing left to free.
func (r *relay) close() {
	var errs []error
	for _, l := range []net.Listener{r.main, r.metrics} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	if r.shared != nil {
		errs = append(errs, r.shared.Close())
	}
	if r.turn != nil {
		errs = append(errs, r.turn.server.Close())
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			r.log.Debug("close", "err", err)
		}
	}
}

// serve runs all parts until ctx ends or one of them does; ready is called once they answer.
func (r *relay) serve(ctx context.Context, ready func() error) error {
	told := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drained, end := r.drained(told, ctx)
	defer end()
	parts := map[string]func(context.Context) error{
		"signaling": r.signaling.Run,
		"turn":      func(context.Context) error { return r.turn.Run(drained) },
		"http":      func(ctx context.Context) error { return r.serveHTTP(ctx, r.main, r.handler()) },
	}
	if r.shared != nil {
		parts["port"] = r.shared.Run // not until it has drained: the process that comes next wants the port, and TURN keeps the connections it has
	}
	if r.metrics != nil {
		parts["metrics"] = func(context.Context) error { return r.serveHTTP(drained, r.metrics, r.metricsHandler()) }
	}
	var running sync.WaitGroup
	failed := make(chan error, len(parts)+1)
	for name, part := range parts {
		running.Go(func() {
			if err := part(ctx); err != nil {
				failed <- fmt.Errorf("serve %s: %w", name, err)
			}
			cancel()
		})
	}
	if err := r.announce(ctx, ready); err != nil {
		failed <- err
		cancel()
	}
	running.Wait()
	close(failed)
	return <-failed // nil when nothing failed
}

// drained returns what ends some time after ctx: if told has ended, when TURN has drained; else a part has failed, and it ends at once.
func (r *relay) drained(told, ctx context.Context) (drained context.Context, end func()) {
	drained, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer stop()
		<-ctx.Done()
		if r.cfg.drain == 0 || told.Err() == nil {
			return
		}
		waiting, cancel := context.WithTimeout(drained, r.cfg.drain)
		defer cancel()
		r.log.Info("draining", "allocations", r.turn.server.Stats().Allocations, "for", r.cfg.drain)
		alternates, _ := r.cfg.alternates() // validated
		if err := r.turn.server.Drain(waiting, alternates...); err != nil {
			r.log.Warn("clients of TURN are cut off", "allocations", r.turn.server.Stats().Allocations)
		}
	}()
	return drained, func() { <-done }
}

func (r *relay) announce(ctx context.Context, ready func() error) error {
	checking, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := r.turn.check(checking); err != nil {
		if ctx.Err() != nil {
			return nil // stopped, or another part says why
		}
		return err
	}
	r.log.Info("serving", "url", r.url, "turn", strings.Join(r.turn.urls, " "), "admission", r.cfg.admission)
	return ready()
}

// handler is the main listener's.
func (r *relay) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+signaling.Path, r.signaling)
	mux.Handle("GET "+doctor.ServersPath, r.servers())
	mux.Handle("GET /", r.pages)
	if loopback(r.cfg.listen) {
		r.observe(mux)
	}
	return withHeaders(mux)
}

func (r *relay) metricsHandler() http.Handler {
	mux := http.NewServeMux()
	r.observe(mux)
	return withHeaders(mux)
}

func (r *relay) observe(mux *http.ServeMux) {
	mux.Handle("GET /metrics", r.newMetrics())
	mux.Handle("GET /healthz", obs.Healthz())
	mux.Handle("GET /readyz", obs.Readyz(
		obs.Check{Part: "signaling", Serve: func(context.Context) error { return r.signaling.Serving() }},
		obs.Check{Part: "turn", Serve: r.turn.check},
	))
}

func (r *relay) serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler: h, MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug), // what strangers send is no error of ours
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.Shutdown(stopping); err != nil {
		r.log.Debug("stop http", "err", err)
		if err := s.Close(); err != nil {
			r.log.Debug("close http", "err", err)
		}
	}
	<-served
	return nil
}

func listen(name, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenAdvice(name, addr, err)
	}
	return l, nil
}

// listenAdvice says what to do about an address that cannot be had.
func listenAdvice(name, addr string, err error) error {
	advice := "give another address with " + name
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "another program has this port: stop it, or give another one with " + name
	case errors.Is(err, syscall.EACCES):
		advice = "ports below 1024 want root or CAP_NET_BIND_SERVICE; or give another one with " + name
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "this machine does not have that address: give one of its own with " + name
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	return fmt.Errorf("listen on %s: %w: %s", addr, err, advice)
}

// derivedURL is the relay URL of a listener on an address of this machine.
func (c *config) derivedURL(at net.Addr) string {
	scheme, standard := "http", "80"
	if c.tls() {
		scheme, standard = "https", "443"
	}
	host, _, _ := net.SplitHostPort(c.listen) // validated
	_, port, _ := net.SplitHostPort(at.String())
	if port == standard {
		return scheme + "://" + strings.ToLower(bracketed(host))
	}
	return scheme + "://" + net.JoinHostPort(strings.ToLower(host), port)
}
