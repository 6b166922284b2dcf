package p2p

import (
	"errors"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p/core/transport"
)

// notQUIC returns what arrives at a listener's port and is not QUIC.
func (e *endpoint) notQUIC(l transport.Listener) (net.PacketConn, error) {
	at := l.Addr().(*net.UDPAddr)
	conn, err := e.manager.SharedNonQUICPacketConn(at.Network(), at)
	if err != nil {
		return nil, fmt.Errorf("share port: %w", err)
	}
	return otherPackets{conn}, nil
}

// otherPackets are the packets of a port that are not QUIC.
type otherPackets struct{ net.PacketConn }

// ReadFrom reads a packet. Its only error says that the port is closed: quic-go reads it, and gives up on no other.
func (o otherPackets) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := o.PacketConn.ReadFrom(p)
	if err != nil {
		return n, from, errors.Join(net.ErrClosed, err)
	}
	return n, from, nil
}
