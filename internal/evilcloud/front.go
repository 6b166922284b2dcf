package evilcloud

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/pion/stun/v3"
)

// Traffic is a fault of TURN's packets.
type Traffic int32

const (
	// StraightOn is an honest server.
	StraightOn Traffic = iota
	// CrossMedia gives what a household's peer sent it to another household, in a form that its TURN client takes for its own: with that
	// household's channel number, or its peer's address.
	CrossMedia
)

// maxDatagram is the longest UDP payload.
const maxDatagram = 65507

// front stands before a node's TURN server, as a load balancer does, with a socket of its own for each client.
type front struct {
	cloud  *Cloud
	outer  *net.UDPConn
	server netip.AddrPort
	work   sync.WaitGroup

	mu      sync.Mutex
	clients map[netip.AddrPort]*client // guarded by mu
	ring    []*client                  // guarded by mu; those that have media, in the order in which they came
}

// client is one TURN client, seen from the front.
type client struct {
	address netip.AddrPort
	inner   *net.UDPConn
	place   int            // in the ring; -1: no media yet
	channel uint16         // that its own media last came by; 0: none
	peer    netip.AddrPort // from which its own media last came
}

func newFront(c *Cloud, at string, server netip.AddrPort) (*front, error) {
	address, err := net.ResolveUDPAddr("udp", at)
	if err != nil {
		return nil, fmt.Errorf("open front: %w", err)
	}
	outer, err := net.ListenUDP("udp", address)
	if err != nil {
		return nil, fmt.Errorf("open front: %w", err)
	}
	return &front{cloud: c, outer: outer, server: server, clients: make(map[netip.AddrPort]*client)}, nil
}

func (f *front) address() string { return udpAddr(f.outer).String() }

func (f *front) close() error {
	err := f.outer.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.clients {
		err = errors.Join(err, c.inner.Close())
	}
	return err
}

// run passes packets until ctx ends.
func (f *front) run(ctx context.Context) error {
	defer f.work.Wait()
	defer context.AfterFunc(ctx, func() { _ = f.close() })() // reading fails then, and that ends it
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := f.outer.ReadFromUDPAddrPort(buf)
		if err != nil {
			return errors.Join(err, f.close())
		}
		c, err := f.client(from)
		if err != nil {
			return err
		}
		_, _ = c.inner.Write(buf[:n]) // UDP: what is lost is lost
	}
}

func (f *front) client(at netip.AddrPort) (*client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[at]; c != nil {
		return c, nil
	}
	inner, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(f.server))
	if err != nil {
		return nil, fmt.Errorf("open socket for a client: %w", err)
	}
	c := &client{address: at, inner: inner, place: -1}
	f.clients[at] = c
	f.work.Go(func() { f.answer(c) })
	return c, nil
}

// answer passes what the server sends to a client.
func (f *front) answer(c *client) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := c.inner.Read(buf)
		if err != nil {
			return
		}
		to, packet := c, buf[:n]
		if m := readMedia(packet); m != nil {
			to = f.route(c, m)
			packet = m.rewritten(packet, to)
		}
		f.cloud.counts.packets.Add(1)
		_, _ = f.outer.WriteToUDPAddrPort(packet, to.address)
	}
}

// route says to whom media goes, and learns what c takes for its own.
func (f *front) route(c *client, m *carried) *client {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.place < 0 {
		c.place = len(f.ring)
		f.ring = append(f.ring, c)
	}
	if m.channel != 0 {
		c.channel = m.channel
	} else {
		c.peer = m.peer
	}
	if Traffic(f.cloud.turn.Load()) != CrossMedia {
		return c
	}
	for i := 1; i < len(f.ring); i++ {
		other := f.ring[(c.place+i)%len(f.ring)]
		if m.fits(other) {
			f.cloud.counts.misrouted.Add(1)
			return other
		}
	}
	return c
}

// carried is a message with a peer's data in it: ChannelData (RFC 8656, section 12.4) or a Data indication (section 11.7).
type carried struct {
	channel    uint16 // 0: an indication
	indication *stun.Message
	peer       netip.AddrPort
}

func readMedia(packet []byte) *carried {
	if len(packet) >= 4 && packet[0]&0xc0 == 0x40 {
		return &carried{channel: binary.BigEndian.Uint16(packet)}
	}
	m := &stun.Message{Raw: packet}
	if !stun.IsMessage(packet) || m.Decode() != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		return nil
	}
	var peer stun.XORMappedAddress
	if peer.GetFromAs(m, stun.AttrXORPeerAddress) != nil {
		return nil
	}
	ip, ok := netip.AddrFromSlice(peer.IP)
	if !ok {
		return nil
	}
	return &carried{indication: m, peer: netip.AddrPortFrom(ip.Unmap(), uint16(peer.Port))}
}

// fits says whether another client takes such a message for its own, once it is rewritten.
func (m *carried) fits(other *client) bool {
	if m.channel != 0 {
		return other.channel != 0
	}
	return other.peer.IsValid()
}

// rewritten is the packet as its receiver would have had it from its own peer.
func (m *carried) rewritten(packet []byte, to *client) []byte {
	if m.channel != 0 {
		binary.BigEndian.PutUint16(packet, to.channel)
		return packet
	}
	data, err := m.indication.Get(stun.AttrData)
	if err != nil {
		return packet
	}
	peer := stun.XORMappedAddress{IP: to.peer.Addr().AsSlice(), Port: int(to.peer.Port())}
	again, err := stun.Build(m.indication.Type, stun.NewTransactionIDSetter(m.indication.TransactionID),
		xorPeer(peer), stun.RawAttribute{Type: stun.AttrData, Value: data})
	if err != nil {
		return packet
	}
	return again.Raw
}

// xorPeer adds an XOR-PEER-ADDRESS.
type xorPeer stun.XORMappedAddress

// AddTo implements stun.Setter.
func (p xorPeer) AddTo(m *stun.Message) error {
	return stun.XORMappedAddress(p).AddToAs(m, stun.AttrXORPeerAddress)
}
