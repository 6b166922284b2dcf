package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/obs"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/turn"
)

func serveCommand(ctx context.Context, hangups <-chan struct{}, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stdout)
	if err != nil {
		return err
	}
	log := cfg.log.Logger(stderr)
	r, err := cfg.newRelay(log, stdout)
	if err != nil {
		return err
	}
	return serve(ctx, r, hangups, log)
}

// serve runs the relay until ctx ends. It reloads the relay's files after each hangup, even while the relay drains.
func serve(ctx context.Context, r *relay.Relay, hangups <-chan struct{}, log *slog.Logger) error {
	reloading, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		followHangups(reloading, r, hangups, log)
	}()

	err := r.Run(ctx)
	stop()
	<-done
	return err
}

// newRelay returns a relay that has its ports and does not serve yet. The relay prints to stdout when it is ready.
func (c *config) newRelay(log *slog.Logger, stdout io.Writer) (*relay.Relay, error) {
	full, err := checkState(c.state)
	if err != nil {
		return nil, err
	}
	if full != nil {
		log.Warn("nothing can be saved in the state folder; the relay runs until it has to save something", "err", full)
	}

	cfg, err := c.relay(log)
	if err != nil {
		return nil, err
	}

	var r *relay.Relay
	cfg.OnReady = func() {
		if c.tlsSelfSigned {
			fmt.Fprintln(stdout, "certificate sha256", relay.Fingerprint(r.Certificate()))
		}
		if at := r.P2PAddress(); at != "" {
			fmt.Fprintln(stdout, "p2p", at)
		}
		if _, err := fmt.Fprintln(stdout, "ready", r.URL()); err != nil {
			log.Warn("ready, but standard output did not accept the line that says so", "err", err)
		}
	}

	r, err = relay.New(cfg)
	return r, c.advise(err)
}

// relay returns the relay's configuration.
func (c *config) relay(log *slog.Logger) (relay.Config, error) {
	drainTo, _ := c.drainAddresses() // validated
	also, _ := c.alsoTURN()          // validated
	cfg := relay.Config{
		Listen:            c.listen,
		PublicURL:         c.publicURL,
		SelfSigned:        c.tlsSelfSigned,
		WebTransport:      c.webTransport,
		TURN:              c.turn,
		TURNPublic:        c.turnPublic,
		TURNTLS:           c.turnTLS,
		XDP:               c.turnXDP,
		Mbit:              c.turnMbit,
		Allocations:       c.turnAllocations,
		AlsoTURN:          also,
		P2P:               c.p2p,
		Drain:             c.drain,
		DrainTo:           drainTo,
		NATS:              c.natsServers,
		NATSCredentials:   c.natsCreds,
		NATSCA:            c.natsCA,
		Memory:            int64(c.memory) << 20,
		Node:              c.node,
		TrustedProxies:    c.proxies,
		ProxyHeader:       relay.ProxyHeader(c.proxyHeader),
		LoopbackUnlimited: c.loopbackUnlimited,
		Metrics:           c.metrics,
		Observe:           observe,
		Logger:            log,
	}

	if c.nats == natsEmbedded {
		cfg.Mail, cfg.MailSync = filepath.Join(c.state, "mail"), c.natsSync
	}
	if c.tls() {
		cfg.Certificate = func(host string) (*tls.Certificate, error) { return c.certificate(host, time.Now()) }
	}
	if c.p2p != "" {
		cfg.P2PKey = func() (ed25519.PrivateKey, error) { return hostKey(c.state) }
	}
	if c.regions != "" {
		cfg.Regions = func() ([]byte, error) { return readRegions(c.regions) }
		cfg.RegionKey = func() ([]byte, error) { return regionSeed(c.state) }
	}
	if c.turnSecret != "" {
		cfg.Secret = func() ([]byte, error) { return readSecret(c.turnSecret) }
	}

	if c.admission == string(admitTickets) {
		key, err := operatorKey(c.state)
		if err != nil {
			return relay.Config{}, err
		}
		cfg.TicketKey = key.Public().(ed25519.PublicKey)
	}

	return cfg, nil
}

// maxSecret is the largest size of a -turn-secret file, in bytes.
const maxSecret = 4096

// readSecret reads the secret that all relays of an operator share.
func readSecret(path string) ([]byte, error) {
	secret, err := identity.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read -turn-secret: %w; make one with head -c 32 /dev/urandom, "+
			"and give it to each of your relays", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read -turn-secret: %w", err)
	}
	if len(secret) < turn.MinSecret || len(secret) > maxSecret {
		return nil, fmt.Errorf("-turn-secret %s has %d bytes: want %d to %d random ones", path, len(secret),
			turn.MinSecret, maxSecret)
	}
	return secret, nil
}

// observe adds handlers for the metrics and the health of a relay.
func observe(r *relay.Relay, mux *http.ServeMux) {
	mux.Handle("GET /metrics", newMetrics(r))
	mux.Handle("GET /healthz", obs.Healthz())
	checks := []obs.Check{{Part: "signaling", Serve: r.CheckSignaling}, {Part: "turn", Serve: r.CheckTURN}}
	if _, stores := r.MailStats(); stores {
		checks = append(checks, obs.Check{Part: "mail", Serve: r.CheckMail})
	}
	if r.P2PAddress() != "" {
		checks = append(checks, obs.Check{Part: "circuits", Serve: r.CheckCircuits})
	}
	mux.Handle("GET /readyz", obs.Readyz(checks...))
}

// advise extends an error from relay.New with what to do about it.
func (c *config) advise(err error) error {
	if errors.Is(err, turn.ErrXDP) {
		return fmt.Errorf("-turn-xdp %s: %w; everything works without -turn-xdp, but takes more of the processor",
			c.turnXDP, err)
	}
	if errors.Is(err, relay.ErrMail) {
		return fmt.Errorf("%w; use another -state folder, or keep messages in memory with -nats off", err)
	}
	if errors.Is(err, relay.ErrNATS) {
		return fmt.Errorf("%w; start them, with JetStream, or see -nats, -nats-creds and -nats-ca", err)
	}
	var listening *relay.ListenError
	if !errors.As(err, &listening) {
		return err
	}

	flags := map[string]string{
		"Listen":       "-listen",
		"WebTransport": "-webtransport",
		"TURN":         "-turn",
		"TURNTLS":      "-turn-tls",
		"Metrics":      "-metrics",
		"P2P":          "-p2p",
	}
	return adviseListen(flags[listening.Field], listening)
}

// adviseListen extends an error from listening with what to do about it.
func adviseListen(flag string, err *relay.ListenError) error {
	advice := "give another address with " + flag
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "another program has this port: stop it, or give another one with " + flag
	case errors.Is(err, syscall.EACCES):
		advice = "ports below 1024 need root or CAP_NET_BIND_SERVICE; or give another one with " + flag
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "this machine does not have that address: give one of its own with " + flag
	}

	return fmt.Errorf("%w: %s", err, advice)
}
