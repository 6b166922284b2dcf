package evilcloud

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// household is a TURN client's socket at a front whose server is the test.
type household struct {
	*net.UDPConn
	inner netip.AddrPort      // where the front's socket for it is
	ask   func(packet []byte) // sends to the server, and waits until the packet has arrived
}

// receive waits for one packet.
func (h household) receive(t *testing.T) []byte {
	t.Helper()
	buf := make([]byte, 2048)
	if err := h.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, err := h.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// indication returns a Data indication from a peer.
func indication(t *testing.T, peer, data string) []byte {
	t.Helper()
	at := netip.MustParseAddrPort(peer)
	m, err := stun.Build(stun.NewType(stun.MethodData, stun.ClassIndication), stun.TransactionID,
		xorPeer{IP: at.Addr().AsSlice(), Port: int(at.Port())},
		stun.RawAttribute{Type: stun.AttrData, Value: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func channelData(channel uint16, data string) []byte {
	return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, channel), uint16(len(data))),
		data...)
}

// homes returns a front whose server is the test, and its clients. say sends a packet from the server to one of them.
func homes(t *testing.T, n int) (c *Cloud, all []household, say func(i int, packet []byte)) {
	t.Helper()
	c = start(t, Config{})
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })

	f, err := newFront(c, "127.0.0.1:0", udpAddr(server))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	for range n {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(udpAddr(f.outer)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		h := household{UDPConn: conn, ask: func(packet []byte) {
			if _, err := conn.Write(packet); err != nil {
				t.Fatal(err)
			}
			if _, _, err := server.ReadFromUDPAddrPort(make([]byte, 2048)); err != nil {
				t.Fatal(err)
			}
		}}

		conn.Write([]byte{0})
		if _, h.inner, err = server.ReadFromUDPAddrPort(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}

	return c, all, func(i int, packet []byte) {
		if _, err := server.WriteToUDPAddrPort(packet, all[i].inner); err != nil {
			t.Fatal(err)
		}
	}
}

// Media of one household reaches another's socket, and looks like its own there. It never just goes back to the
// household's other end.
func TestMediaReachesAnotherHousehold(t *testing.T) {
	c, all, say := homes(t, 3)
	peers := []string{"198.18.0.1:1000", "198.18.0.2:2000", "198.18.0.3:3000"}
	// The third is the first's peer: it has that relayed address.
	relayed, err := stun.Build(stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse), stun.TransactionID,
		relayedAddress(netip.MustParseAddrPort(peers[0])))
	if err != nil {
		t.Fatal(err)
	}

	say(2, relayed.Raw)
	all[2].receive(t)
	for i := range all { // all have media of their own first
		say(i, channelData(0x4000+uint16(i), "own"))
		all[i].receive(t)
		say(i, indication(t, peers[i], "own"))
		all[i].receive(t)
	}

	c.SetTraffic(CrossMedia)
	for range 3 {
		say(0, channelData(0x4000, "of household 0"))
		if got := all[1].receive(t); !bytes.Equal(got, channelData(0x4001, "of household 0")) {
			t.Errorf("household 1 received %q", got)
		}
	}

	say(0, indication(t, peers[0], "of household 0"))
	got := readMedia(all[1].receive(t))
	if got == nil || got.peer != netip.MustParseAddrPort(peers[1]) {
		t.Errorf("household 1 received %+v, want a Data indication of its own peer", got)
	}

	if n := c.Counts().Misrouted; n != 4 {
		t.Errorf("%d packets misrouted, want 4", n)
	}
	c.Heal()
	say(0, channelData(0x4000, "right"))
	if got := all[0].receive(t); !bytes.Equal(got, channelData(0x4000, "right")) {
		t.Errorf("household 0 received %q after the fault", got)
	}
}

type relayedAddress netip.AddrPort

func (a relayedAddress) AddTo(m *stun.Message) error {
	at := netip.AddrPort(a)
	return stun.XORMappedAddress{IP: at.Addr().AsSlice(), Port: int(at.Port())}.AddToAs(m, stun.AttrXORRelayedAddress)
}

// The answer to one client's request reaches another that has sent a similar one, as the answer to that.
func TestAnswerReachesAnotherClient(t *testing.T) {
	c, all, say := homes(t, 2)
	var asked []*stun.Message
	for _, h := range all {
		m, err := stun.Build(stun.NewType(stun.MethodChannelBind, stun.ClassRequest), stun.TransactionID)
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, m)
		h.ask(m.Raw)
	}

	c.SetTraffic(CrossReplies)
	reply, err := stun.Build(stun.NewType(stun.MethodChannelBind, stun.ClassSuccessResponse),
		stun.NewTransactionIDSetter(asked[0].TransactionID))
	if err != nil {
		t.Fatal(err)
	}

	say(0, reply.Raw)
	got := &stun.Message{Raw: all[1].receive(t)}
	if err := got.Decode(); err != nil || got.Type != reply.Type || got.TransactionID != asked[1].TransactionID ||
		c.Counts().Misrouted != 1 {
		t.Errorf("client 1 received %v, %v", got, err)
	}

	c.Heal()
	say(0, reply.Raw)
	if got := all[0].receive(t); !bytes.Equal(got, reply.Raw) {
		t.Errorf("after the fault client 0 received %x", got)
	}
}

// Media is delayed, and nothing else.
func TestHeldMediaIsOnlyDelayed(t *testing.T) {
	t.Parallel()
	c, all, say := homes(t, 1)
	c.SetTraffic(Hold)
	rtp := string(append([]byte{0x80, 102}, make([]byte, 20)...))
	began := time.Now()
	say(0, channelData(0x4000, rtp))
	say(0, channelData(0x4000, "not media"))
	if got := all[0].receive(t); !bytes.Equal(got, channelData(0x4000, "not media")) {
		t.Errorf("received %x first", got)
	}

	if got := all[0].receive(t); !bytes.Equal(got, channelData(0x4000, rtp)) || time.Since(began) < HeldFor {
		t.Errorf("after %s, received %x", time.Since(began), got)
	}
}
