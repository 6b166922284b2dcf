package camera

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/signaling/server"
)

// withoutRelay serves the viewers that reach the camera without its relay: on its own network, and through circuit
// relays. It is a signaling server with one client in this process, which is the camera; viewers are let in by a
// listener for each of the day's host keys.
type withoutRelay struct {
	server *server.Server
	client *signaling.Client
	hosts  *hostKeys
	now    func() time.Time
	lan    bool     // announce the camera on its own network
	relays []string // circuit relays
	listen func(p2p.Config) (*p2p.Listener, error)
	log    *slog.Logger

	open    map[string]*p2p.Listener // by public key; owned by run's goroutine
	serving sync.WaitGroup

	mu   sync.Mutex
	seen map[string]netip.Addr // guarded by mu; by host key and circuit relay, how it sees this machine
}

// joinCarriers makes the camera's signaling go by every carrier that it has.
func (c *Camera) joinCarriers() (err error) {
	c.signal = signaling.Together()
	if err := c.openRelays(); err != nil || c.hosts == nil {
		return err
	}
	if c.without, err = newWithoutRelay(c.cfg, c.hosts, c.clock.Now); err != nil {
		return err
	}
	c.signal.Add(signaling.Carrier{
		Name:   "without relay",
		Client: c.without.client,
		Ticket: c.without.server.Ticket(),
	})
	return nil
}

// newWithoutRelay makes the server and its client. run starts them.
func newWithoutRelay(cfg Config, hosts *hostKeys, now func() time.Time) (*withoutRelay, error) {
	s, err := server.New(server.Config{Private: true, Bus: bus.NewLocal(), Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	client, err := signaling.NewClient(signaling.ClientConfig{
		URL:       "this camera",
		Dial:      s.Dial,
		InProcess: true,
		Logger:    cfg.Logger,
	})
	if err != nil {
		return nil, err
	}

	return &withoutRelay{
		server: s,
		client: client,
		hosts:  hosts,
		now:    now,
		lan:    !cfg.RelayOnly, // such a camera hides its address
		relays: cfg.P2PRelays,
		listen: cfg.listen,
		log:    cfg.Logger,
		open:   make(map[string]*p2p.Listener),
		seen:   make(map[string]netip.Addr),
	}, nil
}

// run serves until ctx ends. The keys change while it runs: with the day, and as soon as a viewer is removed.
func (w *withoutRelay) run(ctx context.Context) {
	defer w.serving.Wait()
	w.serving.Go(func() { _ = w.server.Run(ctx) }) // returns nil
	w.serving.Go(func() { _ = w.client.Run(ctx) }) // returns ctx's error and no other

	look := time.NewTicker(rolloverEvery)
	defer look.Stop()
	for {
		w.turnKeys(ctx)
		select {
		case <-ctx.Done():
			w.closeExcept(nil)
			return
		case <-look.C:
		case <-w.hosts.turned:
		}
	}
}

// turnKeys listens by the keys of today, and by no others.
func (w *withoutRelay) turnKeys(ctx context.Context) {
	wanted := make(map[string]ed25519.PrivateKey)
	for _, key := range w.hosts.today(w.now()) {
		wanted[string(key.Public().(ed25519.PublicKey))] = key
	}
	w.closeExcept(wanted)

	for name, key := range wanted {
		if w.open[name] != nil {
			continue
		}
		listener, err := w.listen(p2p.Config{
			Key:    key,
			LAN:    w.lan,
			Relays: w.relays,
			OnSeen: func(relay string, as netip.Addr) { w.noteSeen(name+relay, as) },
			Logger: w.log,
		})
		if err != nil {
			w.log.Warn("viewers on this network cannot reach the camera without the relay now; it is tried again",
				"err", err)
			continue
		}
		w.open[name] = listener
		w.serving.Go(func() { _ = listener.Run(ctx) })
		w.serving.Go(func() {
			if err := w.server.Serve(listener); err != nil {
				w.log.Debug("serve viewers without the relay", "err", err)
			}
		})
	}
}

// noteSeen notes by which address a connection of a circuit relay sees this machine. The zero Addr says that it has
// ended. An address that a NAT has changed since the connection began is not noticed.
func (w *withoutRelay) noteSeen(conn string, as netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if as.IsValid() {
		w.seen[conn] = as
	} else {
		delete(w.seen, conn)
	}
}

// seenAs returns the addresses by which circuit relays see this machine, each once.
func (w *withoutRelay) seenAs() []netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.SortedFunc(maps.Values(w.seen), netip.Addr.Compare)
	return slices.Compact(all)
}

// closeExcept closes the listeners of keys that are no longer wanted.
func (w *withoutRelay) closeExcept(wanted map[string]ed25519.PrivateKey) {
	for name, listener := range w.open {
		if wanted[name] != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			w.log.Debug("close listener for viewers", "err", err)
		}
		delete(w.open, name)
	}
}
