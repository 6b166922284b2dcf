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
	l := &link{}
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
