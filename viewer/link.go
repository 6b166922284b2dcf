package viewer

import (
	"context"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

const (
	// relayWait is how long a person waits for a silent relay before hearing that it cannot be reached: a little more
	// than one attempt takes.
	relayWait = 11 * time.Second

	// relayTries is how often a relay may refuse before a person hears of it: about a second, enough for one that
	// restarts.
	relayTries = 4
)

// link is a running client of one relay.
type link struct {
	*signaling.Client
	stop func()

	refused context.Context // ends with the last of relayTries
	refuse  context.CancelFunc

	mu       sync.Mutex
	last     error // guarded by mu; why it is not connected
	failures int   // guarded by mu
}

// connect runs a client of a relay until its stop is called, and waits until the relay is reached. Its error says in
// words for a person why it cannot be.
func (v *Viewer) connect(ctx context.Context, relayURL string) (*link, error) {
	l, err := v.newLink(ctx, relayURL)
	if err != nil {
		return nil, err
	}
	return l, l.start(ctx)
}

// connectRelay reaches a paired camera through its relay alone, which shows the camera no address of ours.
func (v *Viewer) connectRelay(ctx context.Context, record pairing.Record) (*link, error) {
	return v.connect(ctx, record.RelayURL)
}

// connectCamera is like connect, but reaches a paired camera by any carrier.
func (v *Viewer) connectCamera(ctx context.Context, record pairing.Record) (*link, error) {
	l, err := v.newLink(ctx, record.RelayURL)
	if err != nil {
		return nil, err
	}

	list := v.hostList(record)
	keys := list.PublicKeys()
	if !v.cfg.LAN || len(keys) == 0 {
		return l, l.start(ctx)
	}

	box := record.Pair.Mailbox(envelope.ToCamera, record.Pair.Day(v.clock.Now()))
	inbox := signaling.Mailbox{Read: box.Read, Write: box.Write}
	carriers := []signaling.Carrier{{Name: CarrierRelay, Client: l.relay}}
	add := func(name, server string, find func(context.Context) (*p2p.Conn, error)) error {
		client, err := signaling.NewClient(signaling.ClientConfig{
			URL:    server,
			Dial:   dial(find),
			Logger: v.cfg.Logger,
		})
		if err != nil {
			return err
		}
		client.Keep(inbox) // for good: its write key proves to the camera that this is a viewer
		l.without = append(l.without, client)
		carriers = append(carriers, signaling.Carrier{Name: name, Client: client})
		return nil
	}

	err = add(CarrierLAN, "the camera on this network", func(ctx context.Context) (*p2p.Conn, error) {
		return p2p.FindLAN(ctx, keys)
	})
	if err == nil && len(list.Relays) > 0 {
		err = add(CarrierCircuit, "the camera's circuit relays", func(ctx context.Context) (*p2p.Conn, error) {
			return l.findByCircuit(ctx, list.Relays, keys)
		})
	}
	if err != nil {
		return nil, err
	}

	l.signal = signaling.Together(carriers...)
	return l, l.start(ctx)
}

// dial returns what a client dials by. find searches until its context ends.
func dial(find func(context.Context) (*p2p.Conn, error)) func(context.Context) (net.Conn, string, error) {
	return func(ctx context.Context) (net.Conn, string, error) {
		conn, err := find(ctx)
		if err != nil {
			return nil, "", err
		}
		return conn, conn.Origin(), nil
	}
}

// newLink returns a link with a client of a relay, which start runs.
func (v *Viewer) newLink(ctx context.Context, relayURL string) (*link, error) {
	l := &link{changed: make(chan struct{})}
	var err error
	l.Client, err = signaling.NewClient(signaling.ClientConfig{
		URL:     relayURL,
		TLS:     v.cfg.TLS,
		OnState: l.observe,
		Logger:  v.cfg.Logger,
	})
	if err != nil {
		return nil, err
	}

	l.refused, l.refuse = context.WithCancel(ctx)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a session that ends with ctx still says goodbye
	var work sync.WaitGroup
	work.Go(func() { _ = l.Run(running) }) // returns running's error and no other
	l.stop = func() { cancel(); work.Wait() }

	if err := l.reach(ctx); err != nil {
		l.stop()
		return nil, err
	}
	return l, nil
}

// observe counts failures to connect.
func (l *link) observe(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last = err; err == nil {
		return
	}
	if l.failures++; l.failures >= relayTries {
		l.refuse()
	}
}

// reach waits until the relay is connected.
func (l *link) reach(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	defer context.AfterFunc(l.refused, cancel)()
	err := l.Connect(waiting)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.last != nil && ctx.Err() == nil {
		return l.last
	}
	return err
}
