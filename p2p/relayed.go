package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	circuitproto "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"

	"github.com/peephole-cam/peephole/netlimit"
)

// relayed is one connection of a relay.
type relayed struct {
	relay *Relay
	conn  transport.CapableConn
	payer netlimit.Payer
	idle  *time.Timer // closes the connection

	mu       sync.Mutex  // taken before the relay's, if both are
	ended    bool        // guarded by mu
	expiry   *time.Timer // guarded by mu; ends the reservation; nil: there is none
	from, to int         // guarded by mu; circuits
}

// serve answers the requests of one connection until it ends.
func (r *Relay) serve(ctx context.Context, conn transport.CapableConn) {
	payer, _ := admittedAs(conn).(netlimit.Payer)
	c := &relayed{relay: r, conn: conn, payer: payer}
	c.idle = time.AfterFunc(idleLife, func() { _ = conn.Close() })
	var serving sync.WaitGroup
	defer serving.Wait()
	defer c.end()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()

	places := make(chan struct{}, maxRequests)
	for {
		s, err := conn.AcceptStream()
		if err != nil {
			return
		}
		select {
		case places <- struct{}{}:
			serving.Go(func() {
				defer func() { <-places }()
				if err := c.answer(ctx, s); err != nil {
					_ = s.Reset()
					r.log.Debug("a request to the circuit relay failed", "error", err)
				}
			})
		default:
			_ = s.Reset()
		}
	}
}

// end forgets the connection.
func (c *relayed) end() {
	_ = c.conn.Close()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.forget()
}

// forget ends the reservation, if there is one.
func (c *relayed) forget() {
	c.relay.mu.Lock()
	if c.relay.reserved[c.conn.RemotePeer()] == c {
		delete(c.relay.reserved, c.conn.RemotePeer())
	}
	c.relay.mu.Unlock()

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expiry != nil {
		c.expiry.Stop()
		c.expiry = nil
	}
	c.rest()
}

// rest starts the timer that closes an idle connection, if it is one. mu must be held.
func (c *relayed) rest() {
	if c.expiry == nil && c.from+c.to == 0 && !c.ended {
		c.idle.Reset(idleLife)
	} else {
		c.idle.Stop()
	}
}

// answer answers one request. For a circuit, it returns when the circuit has ended.
func (c *relayed) answer(ctx context.Context, s network.MuxedStream) error {
	if err := s.SetDeadline(time.Now().Add(relayPatience)); err != nil {
		return err
	}
	if err := negotiate(s, circuitproto.ProtoIDv2Hop); err != nil {
		return err
	}
	var request pb.HopMessage
	if err := readMessage(s, &request); err != nil {
		return err
	}

	switch request.GetType() {
	case pb.HopMessage_RESERVE:
		return c.reserve(s)
	case pb.HopMessage_CONNECT:
		return c.connect(ctx, s, request.GetPeer())
	default:
		return errors.Join(errors.New("unknown request"), status(s, pb.Status_MALFORMED_MESSAGE))
	}
}

// status answers a request that changes nothing, and closes its stream.
func status(s network.MuxedStream, code pb.Status) error {
	answer := &pb.HopMessage{Type: pb.HopMessage_STATUS.Enum(), Status: code.Enum()}
	return errors.Join(util.NewDelimitedWriter(s).WriteMsg(answer), s.Close())
}

// limit is what the relay tells both ends of a circuit.
func limit() *pb.Limit {
	life, bytes := uint32(circuitLife/time.Second), uint64(circuitBytes)
	return &pb.Limit{Duration: &life, Data: &bytes}
}

// reserve makes or renews the reservation. The newest connection of a host key has it.
func (c *relayed) reserve(s network.MuxedStream) error {
	if !c.keep() {
		return net.ErrClosed
	}

	until := uint64(time.Now().Add(reservationTTL).Unix())
	answer := &pb.HopMessage{
		Type:        pb.HopMessage_STATUS.Enum(),
		Status:      pb.Status_OK.Enum(),
		Reservation: &pb.Reservation{Expire: &until},
		Limit:       limit(),
	}
	return errors.Join(util.NewDelimitedWriter(s).WriteMsg(answer), s.Close())
}

// keep notes the reservation, and reports whether the connection is there to have one.
func (c *relayed) keep() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	if c.expiry != nil {
		c.expiry.Stop()
	}
	c.expiry = time.AfterFunc(reservationTTL, c.forget)
	c.rest()

	c.relay.mu.Lock()
	defer c.relay.mu.Unlock()
	c.relay.reserved[c.conn.RemotePeer()] = c
	return true
}

// connect makes a circuit to somebody with a reservation, and returns when it has ended.
func (c *relayed) connect(ctx context.Context, s network.MuxedStream, to *pb.Peer) error {
	id, err := peer.IDFromBytes(to.GetId())
	if err != nil {
		return errors.Join(err, status(s, pb.Status_MALFORMED_MESSAGE))
	}
	c.relay.mu.Lock()
	there := c.relay.reserved[id]
	c.relay.mu.Unlock()
	if there == nil {
		return status(s, pb.Status_NO_RESERVATION)
	}
	if err := c.relay.circuits.Charge(c.payer, 1, time.Now()); err != nil {
		return errors.Join(err, c.refuse(s))
	}

	if !c.occupy(1, 0) {
		return c.refuse(s)
	}
	defer c.occupy(-1, 0)
	if !there.occupy(0, 1) {
		return c.refuse(s)
	}
	defer there.occupy(0, -1)

	far, err := there.stop(ctx, c.conn.RemotePeer())
	if err != nil {
		return errors.Join(err, status(s, pb.Status_CONNECTION_FAILED))
	}
	c.relay.circuitsTotal.Add(1)
	c.relay.circuitsNow.Add(1)
	defer c.relay.circuitsNow.Add(-1)

	answer := &pb.HopMessage{Type: pb.HopMessage_STATUS.Enum(), Status: pb.Status_OK.Enum(), Limit: limit()}
	if err := util.NewDelimitedWriter(s).WriteMsg(answer); err != nil {
		_ = far.Reset()
		return fmt.Errorf("answer: %w", err)
	}

	join(s, far)
	return nil
}

// refuse answers a request for a circuit that is beyond a limit.
func (c *relayed) refuse(s network.MuxedStream) error {
	c.relay.refused.Add(1)
	return status(s, pb.Status_RESOURCE_LIMIT_EXCEEDED)
}

// occupy changes how many circuits the connection has, and reports whether it may have more.
func (c *relayed) occupy(from, to int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from > 0 && c.from >= maxCircuitsFrom || to > 0 && c.to >= maxCircuitsTo {
		return false
	}
	c.from += from
	c.to += to
	c.rest()
	return true
}

// stop asks an end with a reservation whether it takes a circuit, and returns its stream.
func (c *relayed) stop(ctx context.Context, caller peer.ID) (network.MuxedStream, error) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	s, err := openStream(ctx, c.conn, circuitproto.ProtoIDv2Stop)
	if err != nil {
		return nil, err
	}

	var answer pb.StopMessage
	err = s.SetDeadline(time.Now().Add(relayPatience))
	if err == nil {
		err = util.NewDelimitedWriter(s).WriteMsg(&pb.StopMessage{
			Type:  pb.StopMessage_CONNECT.Enum(),
			Peer:  util.PeerInfoToPeerV2(peer.AddrInfo{ID: caller}),
			Limit: limit(),
		})
	}
	if err == nil {
		err = readMessage(s, &answer)
	}
	if err == nil && (answer.GetType() != pb.StopMessage_STATUS || answer.GetStatus() != pb.Status_OK) {
		err = fmt.Errorf("the other end refused: %s", answer.GetStatus())
	}

	if err != nil {
		_ = s.Reset()
		return nil, fmt.Errorf("ask other end: %w", err)
	}
	return s, nil
}

// join carries bytes between two streams until both ways have ended, or the circuit's limits end it.
func join(a, b network.MuxedStream) {
	until := time.Now().Add(circuitLife)
	_, _ = a.SetDeadline(until), b.SetDeadline(until)
	var carrying sync.WaitGroup
	carrying.Go(func() { carry(a, b) })
	carrying.Go(func() { carry(b, a) })
	carrying.Wait()
	_, _ = a.Close(), b.Close()
}

// carry carries one way. If it ends by anything but the sender's end, both ways do.
func carry(from, to network.MuxedStream) {
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, io.LimitReader(from, circuitBytes), make([]byte, carryBuffer))
	if err == nil && n < circuitBytes {
		err = to.CloseWrite()
	} else {
		err = errors.New("the circuit has had its share")
	}
	if err != nil {
		_, _ = from.Reset(), to.Reset()
	}
}
