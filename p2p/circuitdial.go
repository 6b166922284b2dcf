package p2p

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
)

// askAtOnce is how many host keys a relay is asked for at a time.
const askAtOnce = 8

// DialCircuit opens a connection to a camera through circuit relays. keys are the host keys that the camera may have,
// the likeliest first. All relays are asked at once; the first connection wins. The viewer's own host key is made for
// this call alone.
func DialCircuit(ctx context.Context, relays []string, keys []ed25519.PublicKey) (*Conn, error) {
	all, err := parseRelays(relays)
	if err != nil {
		return nil, fmt.Errorf("dial through circuit relay: %w", err)
	}
	if len(all) == 0 {
		return nil, errors.New("dial through circuit relay: no relay is known")
	}
	ids, err := peerIDs(keys)
	if err != nil {
		return nil, fmt.Errorf("dial through circuit relay: %w", err)
	}

	conn, err := first(ctx, all, func(ctx context.Context, r relayAddress) (*Conn, error) {
		return dialThrough(ctx, r, ids)
	})
	if err != nil {
		return nil, fmt.Errorf("dial through circuit relay: %w", err)
	}
	return conn, nil
}

// dialThrough opens a connection through one relay.
func dialThrough(ctx context.Context, r relayAddress, ids []peer.ID) (*Conn, error) {
	e, err := newCaller()
	if err != nil {
		return nil, err
	}
	c, err := e.throughRelay(ctx, r, ids)
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return c, nil
}

func (e *endpoint) throughRelay(ctx context.Context, r relayAddress, ids []peer.ID) (*Conn, error) {
	relay, err := e.dialRelay(ctx, r)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = relay.Close() }) // ends what waits for the relay
	defer stop()

	seen := askSeen(ctx, relay)
	conn, stream, err := e.findThrough(ctx, relay, ids)
	as := seen()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = relay.Close()
		return nil, err
	}

	return &Conn{
		stream:  stream,
		conn:    conn,
		remote:  circuitAddress{r.id},
		carrier: CarrierCircuit,
		camera:  conn.RemotePeer(),
		caller:  e.id,
		seen:    as,
		ended:   make(chan struct{}),
		free: func() {
			_ = relay.Close()
			_ = e.close()
		},
	}, nil
}

// findThrough asks the relay for all host keys, some at a time, until one has proved to be there.
func (e *endpoint) findThrough(ctx context.Context, relay transport.CapableConn, ids []peer.ID) (transport.CapableConn,
	network.MuxedStream, error) {
	type found struct {
		conn   transport.CapableConn
		stream network.MuxedStream
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan peer.ID)
	go func() {
		defer close(next)
		for _, id := range ids {
			select {
			case next <- id:
			case <-ctx.Done():
				return
			}
		}
	}()

	answers := make(chan found, askAtOnce)
	failed := errNoReservation
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range min(askAtOnce, len(ids)) {
		asking.Go(func() {
			for id := range next {
				conn, stream, err := e.connect(ctx, relay, id)
				if err == nil {
					answers <- found{conn, stream}
					cancel()
					return
				}
				if !errors.Is(err, errNoReservation) && ctx.Err() == nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}

	asking.Wait()
	close(answers)
	winner, any := <-answers
	for late := range answers {
		_ = late.conn.Close()
	}
	if !any {
		return nil, nil, errors.Join(ctx.Err(), failed)
	}
	return winner.conn, winner.stream, nil
}

// connect opens a connection to one host key through a relay, and its stream.
func (e *endpoint) connect(ctx context.Context, relay transport.CapableConn, id peer.ID) (transport.CapableConn,
	network.MuxedStream, error) {
	hop, _, err := ask(ctx, relay, &pb.HopMessage{
		Type: pb.HopMessage_CONNECT.Enum(),
		Peer: util.PeerInfoToPeerV2(peer.AddrInfo{ID: id}),
	})
	if err != nil {
		return nil, nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	conn, err := e.secure(ctx, circuit{hop, relay}, network.DirOutbound, id)
	if err != nil {
		return nil, nil, err
	}
	stream, err := openStream(ctx, conn, signalingProtocol)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, stream, nil
}

// newCaller returns an endpoint for one connection, with a host key of its own.
func newCaller() (*endpoint, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	return newEndpoint(key, nil)
}

// peerIDs returns the names that libp2p gives to host keys.
func peerIDs(keys []ed25519.PublicKey) (ids []peer.ID, err error) {
	for _, k := range keys {
		public, err := crypto.UnmarshalEd25519PublicKey(k)
		if err != nil {
			return nil, fmt.Errorf("read host key: %w", err)
		}
		id, err := peer.IDFromPublicKey(public)
		if err != nil {
			return nil, fmt.Errorf("name host key: %w", err)
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, errors.New("no host key of the camera is known")
	}
	return ids, nil
}

// first calls dial for all places at once, and returns the first connection. Late ones are closed.
func first[P any](ctx context.Context, places []P, dial func(context.Context, P) (*Conn, error)) (*Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var dialing sync.WaitGroup
	conns := make(chan *Conn, len(places))
	errs := make([]error, len(places))
	for i, p := range places {
		dialing.Go(func() {
			c, err := dial(ctx, p)
			if err != nil {
				errs[i] = err
				return
			}
			conns <- c
			cancel()
		})
	}

	dialing.Wait()
	close(conns)
	winner, any := <-conns
	for late := range conns {
		_ = late.Close()
	}
	if !any {
		return nil, errors.Join(errs...)
	}
	return winner, nil
}
