package p2p

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"

	"github.com/peephole-cam/peephole/nat/netwatch"
)

const (
	// A relay says until when a reservation lasts by its own clock, which may differ from ours by years. What does not
	// look like a span of time is taken as usualLife.
	minLife, maxLife, usualLife = time.Minute, 24 * time.Hour, 20 * time.Minute

	// minPause and maxPause are how long a relay is left alone that could not be reached or refused.
	minPause, maxPause = time.Second, 5 * time.Minute

	// maxRelayStreams bounds the streams of a relay that have not become a connection yet.
	maxRelayStreams = 16
)

// keepReservation keeps a reservation at a relay, until ctx ends.
func (l *Listener) keepReservation(ctx context.Context, r relayAddress) {
	changes := netwatch.Changes(ctx)
	log := l.cfg.Logger.With("relay", r.host)
	for pause := minPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		held, err := l.holdReservation(ctx, r, changes)
		if held {
			pause = minPause
		}
		if ctx.Err() != nil {
			return
		}
		log.Debug("the circuit relay is gone", "held", held, "error", err)
		if wait(ctx, changes, pause/2+rand.N(pause)) {
			pause = minPause
		}
	}
}

// holdReservation makes a reservation and holds it until the relay is gone. It reports whether there was one.
func (l *Listener) holdReservation(ctx context.Context, r relayAddress, changes <-chan struct{}) (held bool,
	err error) {
	e, err := newEndpoint(l.cfg.Key, nil)
	if err != nil {
		return false, err
	}
	defer e.close()
	relay, err := e.dialRelay(ctx, r)
	if err != nil {
		return false, err
	}

	ctx, lost := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { _ = relay.Close() })()
	var accepting sync.WaitGroup
	defer accepting.Wait()
	defer relay.Close()
	defer lost()
	accepting.Go(func() {
		defer lost()
		l.acceptCircuits(ctx, e, relay)
	})
	accepting.Go(func() { l.reportSeen(ctx, r, relay) })

	for {
		life, err := reserve(ctx, relay)
		if err != nil {
			return held, err
		}
		if !held {
			l.cfg.Logger.Debug("reachable through a circuit relay", "relay", r.host)
		}
		held = true

		// After a change of the network, asking anew shows whether the relay can still be reached.
		wait(ctx, changes, life/2)
		if ctx.Err() != nil {
			return true, errors.New("the connection to the relay has ended")
		}
	}
}

// reportSeen reports by which address a relay sees this machine, until its connection ends.
func (l *Listener) reportSeen(ctx context.Context, r relayAddress, relay transport.CapableConn) {
	as, err := seenAs(ctx, relay)
	if err != nil {
		l.cfg.Logger.Debug("the circuit relay does not say how it sees this machine", "relay", r.host, "err", err)
		return
	}
	name := r.id.String()
	l.cfg.OnSeen(name, as)
	<-ctx.Done()
	l.cfg.OnSeen(name, netip.Addr{})
}

// reserve makes or renews a reservation, and returns how long it lasts.
func reserve(ctx context.Context, relay transport.CapableConn) (time.Duration, error) {
	s, answer, err := ask(ctx, relay, &pb.HopMessage{Type: pb.HopMessage_RESERVE.Enum()})
	if err != nil {
		return 0, err
	}
	_ = s.Close()
	return reservationLife(answer.GetReservation().GetExpire(), time.Now()), nil
}

// reservationLife returns how long a reservation lasts that ends at a time of the relay's clock, in seconds.
func reservationLife(expires uint64, now time.Time) time.Duration {
	if expires > uint64(now.Add(maxLife).Unix()) {
		return usualLife
	}
	life := time.Unix(int64(expires), 0).Sub(now)
	if life < minLife {
		return usualLife
	}
	return life
}

// acceptCircuits serves the circuits that a relay brings, until its connection ends.
func (l *Listener) acceptCircuits(ctx context.Context, e *endpoint, relay transport.CapableConn) {
	var serving sync.WaitGroup
	defer serving.Wait()
	places := make(chan struct{}, maxRelayStreams)
	for {
		s, err := relay.AcceptStream()
		if err != nil {
			return
		}
		select {
		case places <- struct{}{}:
			serving.Go(func() {
				defer func() { <-places }()
				if err := l.serveCircuit(ctx, e, circuit{s, relay}); err != nil {
					l.cfg.Logger.Debug("a circuit came to nothing", "error", err)
				}
			})
		default:
			_ = s.Reset()
		}
	}
}

// serveCircuit accepts what a relay brings on one of its streams, if it is a circuit: a relay may also ask what we do
// not answer, such as who we are.
func (l *Listener) serveCircuit(ctx context.Context, e *endpoint, c circuit) error {
	s, err := l.acceptCircuit(c)
	if err != nil {
		_ = c.Reset()
		return fmt.Errorf("accept circuit: %w", err)
	}
	conn, err := e.secure(s.dropped, c, network.DirInbound, "")
	if err != nil {
		s.release()
		return err
	}

	l.serve(ctx, &Conn{
		conn:    conn,
		remote:  c.RemoteAddr(),
		carrier: CarrierCircuit,
		slot:    s,
		free:    s.release,
	})
	return nil
}

// acceptCircuit reads who comes, and answers the relay. Who the relay says it is proves nothing, and is not looked at.
func (l *Listener) acceptCircuit(c circuit) (*slot, error) {
	if err := c.SetDeadline(time.Now().Add(relayPatience)); err != nil {
		return nil, err
	}
	if err := negotiate(c, proto.ProtoIDv2Stop); err != nil {
		return nil, err
	}
	var request pb.StopMessage
	if err := readMessage(c, &request); err != nil {
		return nil, err
	}
	if request.GetType() != pb.StopMessage_CONNECT {
		return nil, errors.New("the relay wants something else")
	}

	s, refused := l.admission.admitCircuit(string(c.relay.RemotePeer()))
	status := pb.Status_OK
	if refused != nil {
		status = pb.Status_RESOURCE_LIMIT_EXCEEDED
	}
	answer := &pb.StopMessage{Type: pb.StopMessage_STATUS.Enum(), Status: status.Enum()}
	err := util.NewDelimitedWriter(c).WriteMsg(answer)
	switch {
	case refused != nil:
		_ = c.CloseWrite()
		return nil, refused
	case err == nil:
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}
