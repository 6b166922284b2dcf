package p2p

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/transport"
	mstream "github.com/multiformats/go-multistream"
)

// openStream opens a stream for a protocol. When ctx ends, so does the attempt.
func openStream(ctx context.Context, c transport.CapableConn, p protocol.ID) (network.MuxedStream, error) {
	s, err := c.OpenStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Now()) })
	_, err = mstream.SelectOneOf([]protocol.ID{p}, s)
	if !stop() && err == nil {
		err = ctx.Err()
	}

	if err != nil {
		_ = s.Reset()
		return nil, fmt.Errorf("choose %s: %w", p, err)
	}
	return s, nil
}

// acceptStream waits for a stream of a protocol, until the connection ends.
func acceptStream(c transport.CapableConn, p protocol.ID) (network.MuxedStream, error) {
	s, err := c.AcceptStream()
	if err != nil {
		return nil, fmt.Errorf("accept stream: %w", err)
	}
	if err := negotiate(s, p); err != nil {
		return nil, err
	}
	return s, nil
}

// negotiate waits until the other end of a stream has chosen the protocol.
func negotiate(s network.MuxedStream, p protocol.ID) error {
	muxer := mstream.NewMultistreamMuxer[protocol.ID]()
	muxer.AddHandler(p, nil)
	if _, _, err := muxer.Negotiate(s); err != nil {
		_ = s.Reset()
		return fmt.Errorf("agree on %s: %w", p, err)
	}
	return nil
}
