package p2p

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/sec"
	circuitproto "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
)

// ErrOtherKey is the error of a circuit relay that answers with another host key than its multiaddr names.
var ErrOtherKey = errors.New("it answers with another host key")

// ReachRelay returns nil if a circuit relay is at its multiaddr, has the host key that the multiaddr names, and takes
// requests for circuits. It makes none.
func ReachRelay(ctx context.Context, multiaddr string) error {
	if err := reachRelay(ctx, multiaddr); err != nil {
		return fmt.Errorf("reach circuit relay: %w", err)
	}
	return nil
}

func reachRelay(ctx context.Context, multiaddr string) error {
	r, err := parseRelay(multiaddr)
	if err != nil {
		return err
	}
	e, err := newCaller()
	if err != nil {
		return err
	}
	defer e.close()

	relay, err := e.dialRelay(ctx, r)
	if other := (sec.ErrPeerIDMismatch{}); errors.As(err, &other) {
		return ErrOtherKey
	}
	if err != nil {
		return err
	}
	defer relay.Close()

	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	s, err := openStream(ctx, relay, circuitproto.ProtoIDv2Hop)
	if err != nil {
		return err
	}
	return s.Reset()
}
