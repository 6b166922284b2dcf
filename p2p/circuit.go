package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	circuitproto "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"
)

const (
	// maxHopMessage bounds a message of the circuit protocol, in bytes.
	maxHopMessage = 4096

	// relayPatience ends what a relay does not answer.
	relayPatience = 10 * time.Second
)

// errNoReservation is returned where the relay has no reservation of the host key.
var errNoReservation = errors.New("the relay does not know this host key")

// circuit is a stream through a relay, to or from a host key.
type circuit struct {
	network.MuxedStream
	relay transport.CapableConn
}

// circuitAddress is the other end's address, which it has not.
type circuitAddress struct{ relay peer.ID }

// Network returns the name of a network that package net does not know.
func (circuitAddress) Network() string { return "libp2p-circuit" }

// String returns a text that is no address.
func (a circuitAddress) String() string { return "circuit through " + a.relay.String() }

func (c circuit) LocalAddr() net.Addr           { return addressOf(c.relay.LocalMultiaddr()) }
func (c circuit) RemoteAddr() net.Addr          { return circuitAddress{c.relay.RemotePeer()} }
func (c circuit) LocalMultiaddr() ma.Multiaddr  { return c.relay.LocalMultiaddr() }
func (c circuit) RemoteMultiaddr() ma.Multiaddr { return c.relay.RemoteMultiaddr() }

// Close ends the stream at once: TLS inside it has said already what there is to say.
func (c circuit) Close() error { return c.Reset() }

// secure proves the host keys of both ends inside a circuit, and returns a connection as QUIC gives one. id is the
// other end's, or empty where it is a camera's caller. The circuit is closed if that fails.
func (e *endpoint) secure(ctx context.Context, c circuit, d network.Direction, id peer.ID) (transport.CapableConn,
	error) {
	scope, err := e.resources.OpenConnection(d, false, c.RemoteMultiaddr())
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("count circuit: %w", err)
	}
	conn, err := e.circuit.Upgrade(ctx, nil, c, d, id, scope)
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("prove host keys in circuit: %w", err)
	}
	return conn, nil
}

// headStart is how much sooner a relay is dialed by IPv4: the address of the IPv4 NAT is what an end has to learn.
const headStart = 100 * time.Millisecond

// dialRelay opens a connection to a relay, at the first of its addresses that answers.
func (e *endpoint) dialRelay(ctx context.Context, r relayAddress) (transport.CapableConn, error) {
	all, err := r.addresses(ctx)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	answers := make(chan transport.CapableConn, len(all))
	failures := make(chan error, len(all))
	haveIPv4 := slices.ContainsFunc(all, func(a netip.AddrPort) bool { return a.Addr().Is4() })
	for _, at := range all {
		go func() {
			if haveIPv4 && at.Addr().Is6() {
				wait(ctx, nil, headStart)
			}
			c, err := e.dial(ctx, at, r.id)
			if err != nil {
				failures <- err
				return
			}
			answers <- c
		}()
	}

	failed := errors.New("the circuit relay has no address")
	for range all {
		select {
		case c := <-answers:
			return c, nil
		case failed = <-failures:
		}
	}
	return nil, failed
}

// ask sends a request to a relay on a stream of its own, and returns the stream and the relay's answer.
func ask(ctx context.Context, relay transport.CapableConn, request *pb.HopMessage) (network.MuxedStream,
	*pb.HopMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	s, err := openStream(ctx, relay, circuitproto.ProtoIDv2Hop)
	if err != nil {
		return nil, nil, err
	}

	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Now()) })
	answer := &pb.HopMessage{}
	err = util.NewDelimitedWriter(s).WriteMsg(request)
	if err == nil {
		err = readMessage(s, answer)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}

	switch {
	case err != nil:
	case answer.GetType() != pb.HopMessage_STATUS:
		err = errors.New("the relay answered something else")
	case answer.GetStatus() == pb.Status_NO_RESERVATION:
		err = errNoReservation
	case answer.GetStatus() != pb.Status_OK:
		err = fmt.Errorf("the relay refused: %s", answer.GetStatus())
	default:
		return s, answer, nil
	}
	_ = s.Reset()
	return nil, nil, fmt.Errorf("ask circuit relay: %w", err)
}

// readMessage reads one message of the circuit protocol, and nothing behind it.
func readMessage(from io.Reader, m proto.Message) error {
	r := util.NewDelimitedReader(from, maxHopMessage)
	defer r.Close()
	if err := r.ReadMsg(m); err != nil {
		return fmt.Errorf("read message of circuit relay: %w", err)
	}
	return nil
}
