package p2p

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
)

// rawCircuit opens a circuit to a listener and leaves what is inside to the caller.
func rawCircuit(t *testing.T, r *Relay, address string) (near network.MuxedStream, err error) {
	t.Helper()
	relays, err := parseRelays([]string{address})
	if err != nil {
		t.Fatal(err)
	}
	e, err := newCaller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close() })
	c, err := e.dialRelay(testContext(t), relays[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	to := &pb.Peer{Id: []byte(onlyReserved(t, r).conn.RemotePeer())}
	near, _, err = ask(testContext(t), c, &pb.HopMessage{Type: pb.HopMessage_CONNECT.Enum(), Peer: to})
	return near, err
}

// onlyReserved returns the only connection with a reservation.
func onlyReserved(t *testing.T, r *Relay) *relayed {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.reserved {
		return c
	}
	t.Fatal("nobody has a reservation")
	return nil
}

// reservedListener opens a listener and waits until the relay knows it.
func reservedListener(t *testing.T, address string) {
	t.Helper()
	key := testKey("today")
	l := listenCircuit(t, key, address)
	dialUntil(t, []string{address}, publicKey(key))
	accept(t, l).Proven()
}

// TestCircuitHasItsShare: a circuit ends when it has carried what it may, so that nobody sends pictures by a relay.
func TestCircuitHasItsShare(t *testing.T) {
	_, address := startRelay(t)
	key := testKey("today")
	l := listenCircuit(t, key, address)
	viewer := dialUntil(t, []string{address}, publicKey(key))
	camera := accept(t, l)
	camera.Proven()

	read := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, camera)
		read <- n
	}()
	var err error
	for chunk := make([]byte, 64<<10); err == nil; {
		_, err = viewer.Write(chunk)
	}
	if n := <-read; n < circuitBytes/2 || n > circuitBytes {
		t.Errorf("%d bytes arrived, want a little less than %d", n, circuitBytes)
	}
}

// TestCircuitsAreBounded: a camera has as many circuits as may be, and then others are refused.
func TestCircuitsAreBounded(t *testing.T) {
	r, address := startRelay(t)
	reservedListener(t, address)
	c := onlyReserved(t, r)
	for c.occupy(0, 1) {
	}
	if _, err := rawCircuit(t, r, address); err == nil {
		t.Error("one more circuit than there may be")
	}
	before := r.Stats()
	if before.Refused == 0 || before.Reservations != 1 || before.Connections == 0 {
		t.Errorf("counted %+v", before)
	}

	c.occupy(0, -1)
	near, err := rawCircuit(t, r, address)
	if err != nil {
		t.Fatal(err)
	}
	if now := r.Stats(); now.CircuitsTotal != before.CircuitsTotal+1 || now.Circuits != before.Circuits+1 {
		t.Errorf("counted %+v, and before the last circuit %+v", now, before)
	}
	_ = near.Reset()
}

// TestStrangerInCircuitGetsNothing: one who does not prove a host key gets no answer but the end.
func TestStrangerInCircuitGetsNothing(t *testing.T) {
	r, address := startRelay(t)
	reservedListener(t, address)
	near, err := rawCircuit(t, r, address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := near.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 16)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(io.LimitReader(near, 1<<10)); err == nil {
		t.Error("the circuit goes on")
	}
}

// TestRelayAnswersNothingElse: what is no request of the circuit protocol is refused, and the next request is answered.
func TestRelayAnswersNothingElse(t *testing.T) {
	_, address := startRelay(t)
	relays, err := parseRelays([]string{address})
	if err != nil {
		t.Fatal(err)
	}
	e, err := newCaller()
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	c, err := e.dialRelay(testContext(t), relays[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	if _, err := openStream(testContext(t), c, "/ipfs/id/1.0.0"); err == nil {
		t.Error("the relay says who it is")
	}
	for _, request := range []*pb.HopMessage{
		{Type: pb.HopMessage_STATUS.Enum()},
		{Type: pb.HopMessage_CONNECT.Enum(), Peer: &pb.Peer{Id: []byte("nobody")}},
		{Type: pb.HopMessage_CONNECT.Enum()},
	} {
		if _, _, err := ask(testContext(t), c, request); err == nil {
			t.Errorf("%v was granted", request)
		}
	}
	if _, err := reserve(testContext(t), c); err != nil {
		t.Error(err)
	}
}

// TestRelayOnAllAddressesServesBothFamilies: a port alone does not leave out those who have no IPv6.
func TestRelayOnAllAddressesServesBothFamilies(t *testing.T) {
	r, _ := startRelayAt(t, "[::]:0")
	for _, host := range []string{"127.0.0.1", "::1"} {
		e, err := newCaller()
		if err != nil {
			t.Fatal(err)
		}
		defer e.close()

		at := netip.AddrPortFrom(netip.MustParseAddr(host), r.Addr().Port())
		c, err := e.dial(testContext(t), at, r.endpoint.id)
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		_ = c.Close()
	}
}

// TestRelayThatHasRunLeavesItsPort: the next process wants it, while this one still serves something else.
func TestRelayThatHasRunLeavesItsPort(t *testing.T) {
	cfg := RelayConfig{Address: netip.MustParseAddrPort("127.0.0.1:0"), Key: testKey("relay")}
	r, err := ListenRelay(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := r.Run(ended); err != context.Canceled {
		t.Fatal(err)
	}

	cfg.Address = r.Addr()
	next, err := ListenRelay(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(next.Close(), r.Close()); err != nil {
		t.Error(err)
	}
}

// TestRelayWantsAKey: without one, its address would change whenever it starts.
func TestRelayWantsAKey(t *testing.T) {
	if _, err := ListenRelay(RelayConfig{}); err == nil {
		t.Error("a relay without a key")
	}
	if _, err := Listen(Config{}); err == nil {
		t.Error("a listener without a key")
	}
	if _, err := DialCircuit(t.Context(), nil, []ed25519.PublicKey{publicKey(testKey("today"))}); err == nil {
		t.Error("dialed without a relay")
	}
	if _, err := FindLAN(t.Context(), nil); err == nil {
		t.Error("looked for nobody")
	}
}

// TestRelayHandsOnWhatIsNotQUIC: STUN shares the relay's port, both ways, and its reader hears of the relay's end.
func TestRelayHandsOnWhatIsNotQUIC(t *testing.T) {
	r, _ := startRelayAt(t, "[::]:0")
	ended := make(chan error, 1)
	go func() {
		p := make([]byte, 2000)
		for {
			n, from, err := r.NotQUIC().ReadFrom(p)
			if err != nil {
				ended <- err
				return
			}
			_, _ = r.NotQUIC().WriteTo(p[:n], from)
		}
	}()

	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("udp", net.JoinHostPort(host, strconv.Itoa(int(r.Addr().Port()))))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		asked := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}
		if got := comesBack(t, c, asked); !bytes.Equal(got, asked) {
			t.Errorf("%s: sent %x, and %x came back", host, asked, got)
		}
	}

	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading ended with %v", err)
	}
}

// comesBack sends a packet until one comes back.
func comesBack(t *testing.T, c net.Conn, packet []byte) []byte {
	t.Helper()
	for range 100 {
		if _, err := c.Write(packet); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		p := make([]byte, 2000)
		if n, err := c.Read(p); err == nil {
			return p[:n]
		}
	}
	t.Fatal("nothing comes back")
	return nil
}

// A relay may be stopped and closed at the same moment. go-libp2p's own listener panics for that.
func TestRelayIsStoppedAndClosedAtOnce(t *testing.T) {
	for range 50 {
		r, err := ListenRelay(RelayConfig{Address: netip.MustParseAddrPort("127.0.0.1:0"), Key: testKey("relay")})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		running.Go(cancel)
		running.Go(func() { r.Close() })
		running.Wait()
	}
}
