package evilcloud

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/test/reserve"
)

// Traffic is a fault of TURN's packets.
type Traffic int32

const (
	// StraightOn is an honest server.
	StraightOn Traffic = iota
	// CrossMedia gives another household what a household's peer sent. The recipient's TURN client takes it for its
	// own: it has that household's channel number, or its peer's address.
	CrossMedia
	// CrossReplies gives the server's answer to a client's Allocate, CreatePermission, ChannelBind or Refresh to
	// another client that has sent a similar request, with the transaction ID that it waits for. If there is no such
	// client, the answer is lost.
	CrossReplies
	// Hold delays all media for HeldFor, and nothing else.
	Hold
)

// HeldFor is how long Hold delays media: longer than a picture may be called live.
const HeldFor = 7 * time.Second

// maxDatagram is the longest UDP payload.
const maxDatagram = 65507

// front stands before a node's TURN server, like a load balancer, with a socket of its own for each client.
type front struct {
	cloud  *Cloud
	outer  *net.UDPConn
	server netip.AddrPort
	work   sync.WaitGroup

	mu      sync.Mutex
	clients map[netip.AddrPort]*client // guarded by mu
	ring    []*client                  // those that have media, in the order in which they came; guarded by mu
	turn    int                        // who is next; guarded by mu
}

// client is one TURN client, as the front sees it. The front's mu guards what changes.
type client struct {
	address netip.AddrPort
	inner   *net.UDPConn
	place   int            // in the ring; -1: no media yet
	channel uint16         // by which its own media last came; 0: none
	peer    netip.AddrPort // from which its own media last came

	relayed netip.AddrPort              // its relayed address
	bound   map[uint16]netip.AddrPort   // the peers of its channels
	asked   map[stun.Method]transaction // its last request of each kind
}

type transaction = [stun.TransactionIDSize]byte

func newFront(c *Cloud, at string, server netip.AddrPort) (*front, error) {
	outer, err := reserve.ListenUDP(at)
	if err != nil {
		return nil, fmt.Errorf("open front: %w", err)
	}
	return &front{cloud: c, outer: outer, server: server, clients: make(map[netip.AddrPort]*client)}, nil
}

func (f *front) close() error {
	err := f.outer.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.clients {
		err = errors.Join(err, c.inner.Close())
	}
	return err
}

// run forwards packets until ctx ends.
func (f *front) run(ctx context.Context) error {
	defer f.work.Wait()
	defer context.AfterFunc(ctx, func() { _ = f.close() })() // which makes reads fail
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

		f.learn(c, buf[:n])
		f.tape(buf[:n])
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

	c := &client{
		address: at,
		inner:   inner,
		place:   -1,
		bound:   make(map[uint16]netip.AddrPort),
		asked:   make(map[stun.Method]transaction),
	}

	f.clients[at] = c
	f.work.Go(func() { f.answer(c) })
	return c, nil
}

// answer forwards what the server sends to a client.
func (f *front) answer(c *client) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := c.inner.Read(buf)
		if err != nil {
			return
		}
		f.tape(buf[:n])
		to, packet := f.route(c, buf[:n])
		if to == nil {
			continue
		}

		if to != c {
			f.cloud.counts.misrouted.Add(1)
		}
		f.cloud.counts.packets.Add(1)
		if f.traffic() == Hold && isMedia(packet) {
			late := bytes.Clone(packet)
			time.AfterFunc(HeldFor, func() { _, _ = f.outer.WriteToUDPAddrPort(late, c.address) })
			continue
		}
		_, _ = f.outer.WriteToUDPAddrPort(packet, to.address)
	}
}

func (f *front) traffic() Traffic { return Traffic(f.cloud.turn.Load()) }

func (f *front) tape(packet []byte) {
	if f.cloud.cfg.Tape != nil {
		_, _ = f.cloud.cfg.Tape.Write(packet)
	}
}

// route returns the client that gets a packet which the server sends to c, and the packet in the form that it gets; nil
// means that nobody gets it.
func (f *front) route(c *client, packet []byte) (to *client, sent []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := readMedia(packet); m != nil {
		to = f.crossed(c, m)
		return to, m.rewritten(packet, to)
	}

	method, id, ok := readReply(packet, c)
	if !ok || f.traffic() != CrossReplies {
		return c, packet
	}
	for _, other := range f.clients { // in no order
		if asked, did := other.asked[method]; did && other != c && asked != id {
			copy(packet[8:], asked[:])
			return other, packet
		}
	}

	return nil, nil
}

// crossed returns the client that gets c's media, and learns what c takes for its own. f.mu must be held.
func (f *front) crossed(c *client, m *carried) *client {
	if c.place < 0 {
		c.place = len(f.ring)
		f.ring = append(f.ring, c)
	}
	if m.channel != 0 {
		c.channel = m.channel
		if peer, ok := c.bound[m.channel]; ok {
			c.peer = peer
		}
	} else {
		c.peer = m.peer
	}

	if f.traffic() != CrossMedia {
		return c
	}
	f.turn++ // so that all others get a part of it
	for i := range f.ring {
		other := f.ring[(c.place+f.turn+i)%len(f.ring)]
		if other != c && other.relayed != c.peer && m.fits(other) {
			return other
		}
	}

	return c
}

// learn records what a client's request reveals about it.
func (f *front) learn(c *client, packet []byte) {
	if !stun.IsMessage(packet) {
		return
	}
	m := &stun.Message{Raw: packet}
	if m.Decode() != nil || m.Type.Class != stun.ClassRequest {
		return
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	c.asked[m.Type.Method] = m.TransactionID
	number, err := m.Get(stun.AttrChannelNumber)
	if peer, ok := readAddress(m, stun.AttrXORPeerAddress); ok && err == nil && len(number) >= 2 {
		c.bound[binary.BigEndian.Uint16(number)] = peer
	}
}
