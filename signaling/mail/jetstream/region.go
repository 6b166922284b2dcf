package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/peephole-cam/peephole/signaling/cluster"
	"github.com/peephole-cam/peephole/signaling/mail"
)

const (
	// replicas is how many servers of a cluster keep each message. Two of three acknowledge it.
	replicas = 3

	// joinTimeout is for a cluster that starts at the same time.
	joinTimeout = 30 * time.Second

	// beatSubject is what each relay writes to, once a second, to know that the stream can be written.
	beatSubject = "beat"
	beatTimeout = time.Second
	// quorumTimeout is how old the latest of these messages may be. A server that was cut off from the others does not
	// say so for longer than that.
	quorumTimeout = 3 * time.Second
)

// region is a place on the NATS servers of a region.
type region struct {
	node    *node
	beating sync.WaitGroup

	mu    sync.Mutex
	beat  time.Time // guarded by mu; when something was written
	cause error     // guarded by mu; why nothing has been since
}

// Join opens the store of a region, which all its relays share. It waits up to 30 s for the servers to agree on one.
// They bound what is stored (max_file_store), and decide when it is written to their disks (sync_interval).
func Join(servers cluster.Servers, log *slog.Logger) (*Store, error) {
	s := newStore(log)
	n, err := joinNode(s.done, servers)
	if err != nil {
		s.close()
		return nil, fmt.Errorf("join the store of the region: %w", err)
	}

	at := &region{node: n, beat: time.Now()}
	at.beating.Go(func() { at.keepBeating(s.done) })
	return s.run(at), nil
}

func joinNode(done context.Context, servers cluster.Servers) (*node, error) {
	n := new(node)
	var err error
	if n.conn, err = servers.Connect(); err != nil {
		return nil, err
	}
	if n.js, err = jetstream.New(n.conn, jetstream.WithPublishAsyncTimeout(2*opTimeout)); err == nil {
		err = n.joinStream(done)
	}
	if err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// joinStream makes the stream, or finds it. While a cluster has no leader, it tries again.
func (n *node) joinStream(done context.Context) error {
	cfg := streamConfig()
	cfg.Subjects = append(cfg.Subjects, beatSubject)
	cfg.MaxBytes = -1
	if n.conn.ConnectedClusterName() != "" {
		cfg.Replicas = replicas
	}

	ctx, cancel := context.WithTimeout(done, joinTimeout)
	defer cancel()
	for {
		try, cancel := context.WithTimeout(ctx, opTimeout)
		var err error
		n.stream, err = n.js.CreateOrUpdateStream(try, cfg)
		cancel()
		if err == nil || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
			return err
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("stream %s with %d replicas: %w", streamName, max(1, cfg.Replicas), err)
		case <-time.After(keepInterval):
		}
	}
}

// keepBeating writes to the stream each second.
func (r *region) keepBeating(done context.Context) {
	ticker := time.NewTicker(keepInterval)
	defer ticker.Stop()
	for {
		err := r.node.writeBeat(done)
		r.mu.Lock()
		if err == nil {
			r.beat = time.Now()
		}
		r.cause = err
		r.mu.Unlock()

		select {
		case <-done.Done():
			return
		case <-ticker.C:
		}
	}
}

// writeBeat writes a message that expires at once.
func (n *node) writeBeat(done context.Context) error {
	ctx, cancel := context.WithTimeout(done, beatTimeout)
	defer cancel()
	m := nats.NewMsg(beatSubject)
	m.Header.Set(headerTTL, "1")
	_, err := n.js.PublishMsg(ctx, m)
	return err
}

// current implements place.
func (r *region) current() (*node, error) { return r.node, nil }

// writable implements place. It wants a message that was written in the last seconds.
func (r *region) writable() (*node, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := time.Since(r.beat); since > quorumTimeout {
		return nil, fmt.Errorf("%w: the NATS servers have stored nothing for %v: %w", mail.ErrUnavailable,
			since.Round(time.Second), r.cause)
	}
	return r.node, nil
}

// tend implements place. The connection mends itself.
func (r *region) tend(context.Context) {}

// stop implements place.
func (r *region) stop() {
	r.beating.Wait()
	r.node.stop()
}
