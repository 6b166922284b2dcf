package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// identifyProtocol tells the caller who a libp2p host is, and from which address it is seen.
	identifyProtocol = "/ipfs/id/1.0.0"

	// maxIdentify bounds a message of that protocol, in bytes, as go-libp2p does.
	maxIdentify = 8 << 10

	// identifyWait is how long it may take, and identifyGrace how long a viewer that has found its camera waits for it
	// still.
	identifyWait, identifyGrace = 2 * time.Second, 150 * time.Millisecond
)

// seenAs asks a relay by which IP address it sees this end. Ours does not answer: it is a STUN server instead. A relay
// may lie.
func seenAs(ctx context.Context, relay transport.CapableConn) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, identifyWait)
	defer cancel()
	s, err := openStream(ctx, relay, identifyProtocol)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask circuit relay for own address: %w", err)
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Now()) })()

	seen, err := readIdentify(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask circuit relay for own address: %w", err)
	}
	return seen, nil
}

// askSeen begins to ask as seenAs does. answer must be called: it waits for identifyGrace at most, and returns the zero
// Addr if the relay has not said by then.
func askSeen(ctx context.Context, relay transport.CapableConn) (answer func() netip.Addr) {
	ctx, enough := context.WithCancel(ctx)
	seen := make(chan netip.Addr, 1)
	go func() {
		as, _ := seenAs(ctx, relay)
		seen <- as
	}()

	return func() netip.Addr {
		defer enough()
		defer time.AfterFunc(identifyGrace, enough).Stop()
		return <-seen
	}
}

// readIdentify reads the address at which a host sees the one that asks.
func readIdentify(from io.Reader) (netip.Addr, error) {
	r := util.NewDelimitedReader(from, maxIdentify)
	defer r.Close()
	var m pb.Identify
	if err := r.ReadMsg(&m); err != nil {
		return netip.Addr{}, fmt.Errorf("read message: %w", err)
	}
	observed, err := ma.NewMultiaddrBytes(m.GetObservedAddr())
	if err != nil || len(observed) == 0 {
		return netip.Addr{}, errors.New("the message has no address")
	}

	ip, err := manet.ToIP(observed)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read address: %w", err)
	}
	a, _ := netip.AddrFromSlice(ip)
	if a = a.Unmap(); !a.IsGlobalUnicast() {
		return netip.Addr{}, fmt.Errorf("nobody can be at %v", a)
	}
	return a, nil
}
