package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// turnFront stands between clients and TURN over UDP, where an operator, or anybody on the path, can do what they like
// with packets. It starts honest.
type turnFront struct {
	front *net.UDPConn
	turn  *net.UDPAddr

	tape *tape // records all that passes; nil: none

	mu      sync.Mutex
	refused map[stun.ErrorCode]int         // answers of TURN, by error code; guarded by mu
	clients map[netip.AddrPort]*turnClient // guarded by mu
	media   mediaRule                      // what happens to media on its way to a client; nil: nothing; guarded by mu
	gate    *gate                          // delays media; nil: it is not delayed; guarded by mu
}

// turnClient is one client of TURN, as far as its packets tell.
type turnClient struct {
	addr    netip.AddrPort
	back    *net.UDPConn // to TURN
	name    string       // its username
	relayed []byte       // XOR-RELAYED-ADDRESS, as it came
	viewer  bool
	silent  bool // its packets no longer pass
}

// mediaRule returns what a client gets in place of an RTP packet that is meant for it.
type mediaRule func(to *turnClient, rtp []byte) [][]byte

// startTURNFront puts a front before a relay's TURN server, for sessions from now on.
func startTURNFront(t *testing.T, c *evilcloud.Cloud) *turnFront {
	t.Helper()
	_, turn := c.Addresses()
	f := frontAt(t, turn[0], nil)
	client, err := signaling.NewClient(signaling.ClientConfig{URL: c.URLs()[0], Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}

	stop := run(t, client.Run)
	defer stop()
	// Grants can be changed from the second one on.
	box := signaling.Mailbox{Read: ed25519Key(t), Write: ed25519Key(t)}
	if _, err := client.Grant(t.Context(), box, ""); err != nil {
		t.Fatal(err)
	}

	c.SetGrants(func(now, _ signaling.Grant) signaling.Grant {
		now.URLs = []string{"turn:" + f.at() + "?transport=udp"}
		return now
	})
	return f
}

// frontAt puts a front before the TURN server at an address.
func frontAt(t *testing.T, turn string, p *tape) *turnFront {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp4", turn)
	if err != nil {
		t.Fatal(err)
	}

	f := &turnFront{
		front:   conn,
		turn:    to,
		tape:    p,
		clients: make(map[netip.AddrPort]*turnClient),
		refused: make(map[stun.ErrorCode]int),
	}

	run(t, f.run)
	return f
}

// at returns where clients find TURN.
func (f *turnFront) at() string { return f.front.LocalAddr().String() }

func (f *turnFront) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { f.front.Close() })()
	var answers sync.WaitGroup
	defer answers.Wait()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range f.clients {
			c.back.Close()
		}
	}()

	buf := make([]byte, 2048)
	for {
		n, addr, err := f.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return nil
		}
		f.record(buf[:n])
		c, fresh, err := f.client(addr, buf[:n])
		if err != nil {
			return err
		}

		if fresh {
			answers.Go(func() { f.answer(c) })
		}
		if f.mute(c) {
			continue
		}
		if _, err := c.back.Write(buf[:n]); err != nil {
			return err
		}
	}
}

func (f *turnFront) mute(c *turnClient) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return c.silent
}

// silence swallows everything that present clients send and are sent; later clients are served.
func (f *turnFront) silence() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.clients {
		c.silent = true
	}
}

// client returns the sender of a packet; a request with a username reveals more about it (RFC 8656, section 5).
func (f *turnFront) client(addr netip.AddrPort, packet []byte) (c *turnClient, fresh bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c = f.clients[addr]; c == nil {
		back, err := net.DialUDP("udp4", nil, f.turn)
		if err != nil {
			return nil, false, err
		}
		c, fresh = &turnClient{addr: addr, back: back}, true
		f.clients[addr] = c
	}

	var name stun.Username
	m := &stun.Message{Raw: packet}
	if c.name == "" && stun.IsMessage(packet) && m.Decode() == nil && name.GetFrom(m) == nil {
		if parts := strings.Split(name.String(), ":"); len(parts) == 5 {
			c.name, c.viewer = name.String(), parts[2] == "v"
		}
	}

	return c, fresh, nil
}

func (f *turnFront) answer(c *turnClient) {
	buf := make([]byte, 2048)
	for {
		n, err := c.back.Read(buf)
		if err != nil {
			return
		}
		packet := bytes.Clone(buf[:n])
		f.record(packet)
		packets := [][]byte{packet}
		f.mu.Lock()
		if c.silent {
			f.mu.Unlock()
			continue
		}

		f.learn(c, packet)
		rtp := rtpOf(packet)
		if rule := f.media; rule != nil && rtp != nil {
			packets = nil
			for _, other := range rule(c, rtp) {
				packets = append(packets, withRTP(packet, other))
			}
		}

		gate := f.gate
		f.mu.Unlock()
		for _, packet := range packets {
			if gate != nil && rtp != nil {
				gate.enter(packet, c.addr)
				continue
			}
			_, _ = f.front.WriteToUDPAddrPort(packet, c.addr) // closed when the test ends
		}
	}
}

// learn reads relayed addresses and errors from TURN's answers. f.mu must be held.
func (f *turnFront) learn(c *turnClient, packet []byte) {
	m := &stun.Message{Raw: packet}
	if !stun.IsMessage(packet) || m.Decode() != nil {
		return
	}
	if v, err := m.Get(stun.AttrXORRelayedAddress); err == nil && c.relayed == nil {
		c.relayed = bytes.Clone(v)
	}

	if code := errorOf(m); code != 0 {
		f.refused[code]++
	}
}

// refusals returns how often TURN has answered with an error.
func (f *turnFront) refusals(code stun.ErrorCode) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused[code]
}

func (f *turnFront) record(packet []byte) {
	if f.tape != nil {
		_, _ = f.tape.Write(packet) // to memory
	}
}

// rule sets what happens to media from now on; only one call of a rule runs at a time.
func (f *turnFront) rule(rule mediaRule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.media = rule
}

// inject sends a packet to TURN as if it came from a client.
func (f *turnFront) inject(c *turnClient, packet []byte) error {
	_, err := c.back.Write(packet)
	return err
}

// allocated returns the clients that have a relayed address.
func (f *turnFront) allocated() (all []*turnClient) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.clients {
		if c.relayed != nil {
			all = append(all, c)
		}
	}

	return all
}

// rtpOf returns the RTP packet in what TURN sends to a client, in ChannelData or a Data indication (RFC 8656, sections
// 11.7 and 12.4); nil: there is none.
func rtpOf(p []byte) (data []byte) {
	m := &stun.Message{Raw: p}
	switch {
	case len(p) >= 4 && p[0]&0xc0 == 0x40:
		data = p[4 : 4+min(len(p)-4, int(binary.BigEndian.Uint16(p[2:])))]
	case stun.IsMessage(p) && m.Decode() == nil && m.Type == stun.NewType(stun.MethodData, stun.ClassIndication):
		data, _ = m.Get(stun.AttrData)
	}

	// RTP, and not RTCP, DTLS or STUN (RFC 5761, section 4; RFC 7983).
	if len(data) <= 12 || data[0]&0xc0 != 0x80 || data[1] >= 192 && data[1] <= 223 {
		return nil
	}
	return data
}

// withRTP returns the same message to a client with another RTP packet in it.
func withRTP(p, rtp []byte) []byte {
	if p[0]&0xc0 == 0x40 {
		out := binary.BigEndian.AppendUint16(bytes.Clone(p[:2]), uint16(len(rtp)))
		return append(out, rtp...)
	}
	m := &stun.Message{Raw: bytes.Clone(p)}
	if m.Decode() != nil {
		return nil
	}

	peer, err := m.Get(stun.AttrXORPeerAddress)
	if err != nil {
		return nil
	}
	out := &stun.Message{TransactionID: m.TransactionID, Type: m.Type}
	out.WriteHeader()
	out.Add(stun.AttrXORPeerAddress, peer)
	out.Add(stun.AttrData, rtp)

	return out.Raw
}
