package evilcloud

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a cloud until the test ends.
func start(t *testing.T, cfg Config) *Cloud {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return c
}

// page says whether a node serves its page.
func page(url string) bool {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	r, err := client.Get(url)
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// A restarted cloud is where it was, with other keys.
func TestRestart(t *testing.T) {
	c := start(t, Config{Signaling: []string{"127.0.0.1:0", "127.0.0.2:0"}, TURN: []string{"127.0.0.1:0", "127.0.0.2:0"}})
	before, err := c.nodes[0].Grant(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	urls := c.URLs()
	if err := c.Restart(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	after, err := c.nodes[0].Grant(time.Now())
	if err != nil || after.Viewer.Credential == before.Viewer.Credential || after.URLs[0] != before.URLs[0] {
		t.Errorf("grants %v and %v, %v; want the same place and other keys", before.URLs, after.URLs, err)
	}
	for i, url := range c.URLs() {
		if url != urls[i] || !page(url) {
			t.Errorf("node %d was at %s and is at %s, or does not serve", i, urls[i], url)
		}
	}
}

// household is a TURN client's socket at a front whose server is the test.
type household struct {
	*net.UDPConn
	inner netip.AddrPort // where the front's socket for it is
}

// receive waits for one packet.
func (h household) receive(t *testing.T) []byte {
	t.Helper()
	buf := make([]byte, 2048)
	if err := h.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := h.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// Media of one household reaches the other's socket, and looks there like its own.
func TestCrossMedia(t *testing.T) {
	c := start(t, Config{})
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	f, err := newFront(c, "127.0.0.1:0", udpAddr(server))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.run(ctx) }()
	defer func() { cancel(); <-done }()
	var homes [2]household
	for i := range homes {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(udpAddr(f.outer)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		homes[i].UDPConn = conn
		conn.Write([]byte{0})
		if _, homes[i].inner, err = server.ReadFromUDPAddrPort(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	channelData := func(channel uint16, data string) []byte {
		return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, channel), uint16(len(data))), data...)
	}
	indication := func(peer string, data string) []byte {
		at := netip.MustParseAddrPort(peer)
		m, err := stun.Build(stun.NewType(stun.MethodData, stun.ClassIndication), stun.TransactionID,
			xorPeer{IP: at.Addr().AsSlice(), Port: int(at.Port())}, stun.RawAttribute{Type: stun.AttrData, Value: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}
	say := func(i int, packet []byte) {
		if _, err := server.WriteToUDPAddrPort(packet, homes[i].inner); err != nil {
			t.Fatal(err)
		}
	}
	for i := range homes { // both have media of their own first
		say(i, channelData(0x4000+uint16(i), "own"))
		homes[i].receive(t)
		say(i, indication([]string{"198.18.0.1:1000", "198.18.0.2:2000"}[i], "own"))
		homes[i].receive(t)
	}
	c.SetTraffic(CrossMedia)
	say(0, channelData(0x4000, "of household 0"))
	if got := homes[1].receive(t); !bytes.Equal(got, channelData(0x4001, "of household 0")) {
		t.Errorf("household 1 received %q", got)
	}
	say(0, indication("198.18.0.1:1000", "of household 0"))
	got := readMedia(homes[1].receive(t))
	if got == nil || got.peer != netip.MustParseAddrPort("198.18.0.2:2000") {
		t.Errorf("household 1 received %+v, want a Data indication of its own peer", got)
	}
	if n := c.Counts().Misrouted; n != 2 {
		t.Errorf("%d packets misrouted, want 2", n)
	}
	c.Heal()
	say(0, channelData(0x4000, "right"))
	if got := homes[0].receive(t); !bytes.Equal(got, channelData(0x4000, "right")) {
		t.Errorf("household 0 received %q after the fault", got)
	}
}
