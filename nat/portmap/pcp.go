package portmap

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// PCP's MAP message, both ways (RFC 6887, sections 7 and 11):
//
//	 0         1         2                   4                   8
//	+---------+---------+-------------------+-------------------+
//	| u8 = 2  | R, u8 1 | result in answers | u32 lifetime (s)  |
//	+---------+---------+-------------------+-------------------+
//	| client's address [16]; in answers u32 epoch, reserved     |  to 24
//	+-----------------------------+---------+-------------------+
//	| nonce [12]                  | u8 17   | reserved [3]      |  to 40
//	+--------------+--------------+---------+-------------------+
//	| u16 inside   | u16 outside  | outside address [16]        |  to 60
//	+--------------+--------------+-----------------------------+
const (
	controlPort = 5351 // of PCP and NAT-PMP
	pcpVersion  = 2
	pcpMap      = 1
	pcpAnswer   = 0x80
	pcpSize     = 60
	pcpFirst    = 200 * time.Millisecond // until the first retransmission; the wait then doubles each time
	maxPCP      = 1100                   // bytes; RFC 6887, section 7
)

var (
	errNotPCP = errors.New("answer is not PCP's to this request")
	errCode   = errors.New("result code")
)

// newMapping returns a mapping that has not been granted yet.
func newMapping(inside netip.AddrPort) *mapping {
	m := &mapping{inside: inside}
	rand.Read(m.nonce[:])
	return m
}

// pcp is a router that may speak PCP.
type pcp struct{ route route }

func openPCP(_ context.Context, r route) (protocol, error) { return pcp{r}, nil }

func (p pcp) grant(ctx context.Context, m *mapping) (lease, error) {
	outside := m.outside
	if !outside.IsValid() {
		outside = netip.AddrPortFrom(netip.IPv4Unspecified(), m.inside.Port())
	}

	answer, err := p.exchange(ctx, pcpRequest(m, outside, lifetime))
	if err != nil {
		return lease{}, err
	}
	l := parsePCP(answer)
	if l.life <= 0 || l.outside.Port() == 0 {
		return lease{}, errNotPCP
	}
	return l, nil
}

func (p pcp) release(ctx context.Context, m *mapping) error {
	_, err := p.exchange(ctx, pcpRequest(m, netip.AddrPortFrom(netip.IPv4Unspecified(), 0), 0))
	return err
}

func pcpRequest(m *mapping, outside netip.AddrPort, life time.Duration) []byte {
	b := make([]byte, pcpSize)
	b[0], b[1] = pcpVersion, pcpMap
	binary.BigEndian.PutUint32(b[4:], uint32(life/time.Second))
	client, suggested := m.inside.Addr().As16(), outside.Addr().As16()
	copy(b[8:], client[:])
	copy(b[24:], m.nonce[:])
	b[36] = 17 // UDP
	binary.BigEndian.PutUint16(b[40:], m.inside.Port())
	binary.BigEndian.PutUint16(b[42:], outside.Port())
	copy(b[44:], suggested[:])

	return b
}

// checkPCP returns what is wrong with an answer to a request, or nil.
func checkPCP(request, answer []byte) error {
	if len(answer) < 4 || len(answer) > maxPCP || answer[0] != pcpVersion { // NAT-PMP routers answer with version 0
		return errNotPCP
	}
	if answer[1] != request[1]|pcpAnswer {
		return errNotPCP
	}
	if answer[3] != 0 {
		return fmt.Errorf("%w %d", errCode, answer[3])
	}
	if len(answer) < pcpSize || !bytes.Equal(answer[24:42], request[24:42]) { // nonce, protocol and inside port
		return errNotPCP
	}
	return nil
}

func parsePCP(answer []byte) lease {
	ip := netip.AddrFrom16([16]byte(answer[44:60])).Unmap()
	return lease{
		outside: netip.AddrPortFrom(ip, binary.BigEndian.Uint16(answer[42:])),
		life:    time.Duration(binary.BigEndian.Uint32(answer[4:])) * time.Second,
	}
}

// exchange sends a request, with retransmissions, until it is answered or ctx ends. The socket is connected, so that
// only the router is heard.
func (p pcp) exchange(ctx context.Context, request []byte) ([]byte, error) {
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.route.local, 0))}
	conn, err := d.DialContext(ctx, "udp4", netip.AddrPortFrom(p.route.gateway, controlPort).String())
	if err != nil {
		return nil, fmt.Errorf("ask router: %w", err)
	}
	defer conn.Close()

	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()

	answer := make([]byte, maxPCP+1)
	for wait := pcpFirst; ctx.Err() == nil; wait *= 2 {
		if _, err := conn.Write(request); err != nil {
			return nil, fmt.Errorf("ask router: %w", err)
		}
		n, err := readUntil(ctx, conn, answer, time.Now().Add(wait))
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil: // nothing listens at that port
			return nil, fmt.Errorf("ask router: %w", err)
		default:
			return answer[:n], checkPCP(request, answer[:n])
		}
	}

	return nil, ctx.Err()
}

// readUntil reads with a deadline, which the end of ctx brings forward.
func readUntil(ctx context.Context, conn net.Conn, b []byte, deadline time.Time) (int, error) {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if ctx.Err() != nil { // it may have ended before the deadline was set, and would not be noticed again
		return 0, ctx.Err()
	}
	return conn.Read(b)
}
