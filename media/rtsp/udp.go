package rtsp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	// maxDatagram is the largest packet that can be read: some cameras send 10 kB and leave fragmentation to IP.
	maxDatagram = 64 << 10
	// socketBuffer is the receive buffer to request for each socket: a keyframe arrives as a burst.
	socketBuffer = 2 << 20
	maxPairTries = 32
)

// udpPair is a pair of sockets, for RTP and RTCP, on an even port and the next (RFC 3550, section 11).
type udpPair struct {
	rtp, rtcp *net.UDPConn
	from      []netip.Addr // the addresses that packets are accepted from
	peer      [2]netip.AddrPort
}

// listenUDP opens a pair on the local address of the connection to the server.
func listenUDP(local, server netip.Addr) (*udpPair, error) {
	listen := func(port int) (*net.UDPConn, error) {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, uint16(port))))
	}
	var last error
	for range maxPairTries {
		first, err := listen(0)
		if err != nil {
			return nil, fmt.Errorf("listen for RTP: %w", err)
		}
		port := first.LocalAddr().(*net.UDPAddr).Port
		second, err := listen(port ^ 1)
		if err != nil {
			last = err
			first.Close()
			continue
		}

		if port%2 == 1 {
			first, second = second, first
		}
		first.SetReadBuffer(socketBuffer) // as much as the system grants
		return &udpPair{rtp: first, rtcp: second, from: []netip.Addr{server.WithZone("")}}, nil
	}

	return nil, fmt.Errorf("find two neighbouring ports: %w", last)
}

func (p *udpPair) port() int { return p.rtp.LocalAddr().(*net.UDPAddr).Port }

// connect accepts packets from the source that the server named, and sends a packet to each of the server's ports to
// open firewalls on the way. It sends to no other address than the server's own, whatever the server says.
func (p *udpPair) connect(server netip.Addr, reply transportReply) {
	if source, err := netip.ParseAddr(reply.source); err == nil {
		p.from = append(p.from, source.Unmap().WithZone(""))
	}
	for i, socket := range []*net.UDPConn{p.rtp, p.rtcp} {
		if reply.ports[i] == 0 {
			continue
		}
		p.peer[i] = netip.AddrPortFrom(server, uint16(reply.ports[i]))
		socket.WriteToUDPAddrPort([]byte{2 << 6, 0, 0, 0}, p.peer[i]) // an error shows in what arrives, or does not
	}
}

func (p *udpPair) close() {
	p.rtp.Close()
	p.rtcp.Close()
}

// read waits for the next packet from the server, until the deadline if that is not zero. After the deadline it returns
// neither a packet nor an error.
func (p *udpPair) read(socket *net.UDPConn, buffer []byte, deadline time.Time) ([]byte, error) {
	if err := socket.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	for {
		n, from, err := socket.ReadFromUDPAddrPort(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil
		case err != nil:
			return nil, err
		case p.expected(from.Addr()):
			return buffer[:n], nil
		}
	}
}

func (p *udpPair) expected(from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	for _, a := range p.from {
		if a == from {
			return true
		}
	}
	return false
}

// sendRTCP sends an RTCP packet, if the server has a port for it.
func (p *udpPair) sendRTCP(b []byte) {
	if p.peer[1].IsValid() {
		p.rtcp.WriteToUDPAddrPort(b, p.peer[1]) // another report follows soon
	}
}
