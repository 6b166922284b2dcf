package turn

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// TestPacketsReachTheOtherEnd: both ends of a session reach each other, by indications and by channels, over every
// transport.
func TestPacketsReachTheOtherEnd(t *testing.T) {
	s := serve(t, Config{})
	for _, over := range [][2]string{
		{"udp", "udp"},
		{"udp", "tcp"},
		{"tcp", "udp"},
		{"tcp", "tcp"},
		{"tls", "udp"},
		{"tls", "tls"},
	} {
		t.Run(over[0]+" to "+over[1], func(t *testing.T) {
			cam, view := pair(t, s, over[0], over[1])
			permitBoth(cam, view)
			cam.send(peerAt(view.relayed), "picture")
			if got, want := view.receive(), (received{from: cam.relayed.String(), data: "picture"}); got != want {
				t.Errorf("viewer got %+v, want %+v", got, want)
			}

			bindBoth(cam, 0x4000, view, 0x4fff)
			long := strings.Repeat("x", 1201)
			for _, data := range []string{"answer", long} {
				view.sendChannel(0x4fff, data)
				if got, want := cam.receive(), (received{channel: 0x4000, data: data}); got != want {
					t.Errorf("camera got %+v, want %+v", got, want)
				}
				cam.sendChannel(0x4000, data)
				if got, want := view.receive(), (received{channel: 0x4fff, data: data}); got != want {
					t.Errorf("viewer got %+v, want %+v", got, want)
				}
			}
		})
	}

	await(t, func() bool { // a packet may arrive before it is counted
		n := s.Stats()
		return n.Packets == 6*5 && n.Bytes == 6*(7+2*(6+1201)) && n.AllocationsTotal == 12
	})
}

// TestClientMayComeOverIPv6: clients may come over IPv6; their relayed addresses are IPv4 nevertheless.
func TestClientMayComeOverIPv6(t *testing.T) {
	s := serve(t, Config{Address: "[::1]:0"})
	cam, view := pair(t, s, "udp", "tcp")
	permitBoth(cam, view)
	cam.send(peerAt(view.relayed), "picture")
	if got := view.receive(); got.data != "picture" || cam.relayed.IP.To4() == nil {
		t.Errorf("viewer got %+v from %v", got, cam.relayed)
	}
}

func TestAllocationHasNoGoroutine(t *testing.T) {
	s := serve(t, Config{})
	dial(t, s, "udp", grant(t, s.config.Keys).Camera).fence()
	before := runtime.NumGoroutine()
	const allocations = 40
	for range allocations / 2 {
		pair(t, s, "udp", "udp")
	}

	await(t, func() bool { return runtime.NumGoroutine() < before+allocations/4 })
	if n := s.Stats().Allocations; n != allocations {
		t.Errorf("%d allocations", n)
	}
}

// TestReloadedEndIsReachedAtBothAddresses: an end that allocates again is reached at both addresses while the old
// allocation lives. It may do so up to the limit, and makes room by deleting.
func TestReloadedEndIsReachedAtBothAddresses(t *testing.T) {
	s := serve(t, Config{MaxPerRole: 2})
	g := grant(t, s.config.Keys)
	view := dial(t, s, "udp", g.Viewer)
	cams := []*client{dial(t, s, "udp", g.Camera), dial(t, s, "tcp", g.Camera), dial(t, s, "udp", g.Camera)}
	codes := []int{view.allocate(), cams[0].allocate(), cams[1].allocate(), cams[2].allocate()}
	if !slices.Equal(codes, []int{0, 0, 0, 486}) {
		t.Fatalf("allocate: %v", codes)
	}
	if code := view.permit(peerAt(cams[0].relayed), peerAt(cams[1].relayed)); code != 0 {
		t.Fatalf("permission: %d", code)
	}

	for _, c := range cams[:2] {
		if code := c.permit(peerAt(view.relayed)); code != 0 {
			t.Fatalf("permission: %d", code)
		}
		c.send(peerAt(view.relayed), "here")
		if got := view.receive(); got.from != c.relayed.String() {
			t.Errorf("from %s, want %s", got.from, c.relayed)
		}
	}

	if code := cams[0].permit(peerAt(cams[1].relayed)); code != 403 {
		t.Errorf("a camera's permission for the same camera: %d", code)
	}
	if code := cams[0].refresh(0); code != 0 {
		t.Errorf("delete: %d", code)
	}

	if code := view.permit(peerAt(cams[0].relayed)); code != 403 {
		t.Errorf("permission for a deleted allocation: %d", code)
	}
	if code := cams[2].allocate(); code != 0 {
		t.Errorf("allocate after delete: %d", code)
	}

	if cams[2].relayed.String() == cams[0].relayed.String() {
		t.Error("an address was reused at once")
	}
}

func TestAllocationEndsWithItsConnection(t *testing.T) {
	s := serve(t, Config{})
	cam, view := pair(t, s, "tcp", "udp")
	if code := view.permit(peerAt(cam.relayed)); code != 0 {
		t.Fatal(code)
	}
	cam.conn.Close()
	await(t, func() bool { return s.Stats().Allocations == 1 && s.Stats().Connections == 0 })
	if code := view.permit(peerAt(cam.relayed)); code != 403 {
		t.Errorf("permission for an allocation that has ended: %d", code)
	}
}

// TestUnrefreshedAllocationEnds: an allocation that is not refreshed ends, and makes room for another.
func TestUnrefreshedAllocationEnds(t *testing.T) {
	s := serve(t, Config{MaxAllocations: 1})
	g := grant(t, s.config.Keys)
	cam, view := dial(t, s, "udp", g.Camera), dial(t, s, "udp", g.Viewer)
	if code := cam.allocate(attribute(stun.AttrLifetime, 0, 0, 0, 5)); code != 0 {
		t.Fatal(code)
	}

	if code := view.allocate(); code != 508 {
		t.Errorf("allocate beyond the process's limit: %d", code)
	}
	await(t, func() bool { return s.Stats().Allocations == 0 })
	if code := view.allocate(); code != 0 {
		t.Errorf("allocate after expiry: %d", code)
	}
}

// await polls until done, for changes in the server that no message announces.
func await(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen in time")
		}
	}
}

// TestUnsupportedAllocatesAreRefused: we refuse what pion would grant, but we do not have.
func TestUnsupportedAllocatesAreRefused(t *testing.T) {
	s := serve(t, Config{})
	g := grant(t, s.config.Keys)
	for _, over := range []string{"udp", "tcp"} {
		c := dial(t, s, over, g.Camera)
		for name, row := range map[string]struct {
			extra stun.Setter
			code  int
		}{
			"even port":             {attribute(stun.AttrEvenPort, 0), 508},
			"even port and reserve": {attribute(stun.AttrEvenPort, 0x80), 508},
			"reservation":           {attribute(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8), 508},
			"do not fragment":       {attribute(stun.AttrDontFragment), 420},
		} {
			if code := c.allocate(row.extra); code != row.code {
				t.Errorf("%s over %s: %d, want %d", name, over, code, row.code)
			}
		}

		if _, code := c.ask(stun.MethodAllocate, attribute(stun.AttrRequestedTransport, 6, 0, 0, 0)); code != 442 {
			t.Errorf("TCP over %s: %d", over, code)
		}

		// It gets an IPv4 address nevertheless.
		if code := c.allocate(attribute(stun.AttrRequestedAddressFamily, 2, 0, 0, 0)); code != 0 {
			t.Errorf("IPv4 over %s: %d", over, code)
		}
		if code := c.allocate(); code != 437 {
			t.Errorf("second on one 5-tuple over %s: %d", over, code)
		}

		if code := c.refresh(0); code != 0 {
			t.Errorf("delete: %d", code)
		}
		if code := c.refresh(60); code != 437 {
			t.Errorf("refresh of nothing: %d", code)
		}
	}

	if n := addressesInUse(s); n != 0 {
		t.Errorf("%d addresses left behind", n)
	}
	c, _, err := addressGenerator{relay: s.relay}.AllocateConn("tcp4", 0)
	if c != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("AllocateConn: %v, %v", c, err)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	s := serve(t, Config{MaxConns: 1})
	dial(t, s, "tcp", Credential{}).fence()
	second, err := net.Dial("tcp", tcpOf(s).String())
	if err != nil {
		t.Fatal(err)
	}

	defer second.Close()
	second.SetReadDeadline(time.Now().Add(patience))
	var timeout net.Error
	if _, err := second.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the second connection was not closed: %v", err)
	}

	if n := s.Stats().Refusals["connections"]; n != 1 {
		t.Errorf("%d refusals", n)
	}
}

// TestServerRunsOnceAndFreesWhatItBound: New serves nothing, Close frees what it bound, and a server runs once.
func TestServerRunsOnceAndFreesWhatItBound(t *testing.T) {
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Address: "127.0.0.1:0", Keys: newKeys(t), Streams: []net.Listener{stream}})
	if err != nil {
		t.Fatal(err)
	}

	at := s.Addresses().UDP.String()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}

	if err := s.Run(context.Background()); !errors.Is(err, ErrRun) {
		t.Errorf("Run after Close: %v", err)
	}
	if _, err := stream.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener after Close: %v", err)
	}

	l, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatalf("the address is still in use: %v", err)
	}
	defer l.Close()

	if _, err := New(Config{Address: at, Keys: newKeys(t)}); err == nil {
		t.Error("New took an address that is in use")
	}
	good := Config{Address: "127.0.0.1:0", Keys: newKeys(t)}
	for name, spoil := range map[string]func(*Config){
		"no address":  func(c *Config) { c.Address = "" },
		"no keys":     func(c *Config) { c.Keys = nil },
		"allocations": func(c *Config) { c.MaxAllocations = MaxAddresses + 1 },
		"lifetime":    func(c *Config) { c.MaxLifetime = -1 },
	} {
		bad := good
		spoil(&bad)
		if _, err := New(bad); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEverythingEndsUnderLoad: everything ends while both ends send; TestMain and run check that nothing is left.
func TestEverythingEndsUnderLoad(t *testing.T) {
	k := newKeys(t)
	s, err := New(Config{Address: "127.0.0.1:0", Keys: k, Streams: listenStreams(t, "127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	var talk sync.WaitGroup

	for range 4 {
		cam, view := pair(t, s, "tcp", "udp")
		bindBoth(cam, 0x4000, view, 0x4000)
		talk.Go(func() { // send until the server hangs up; the viewer reads nothing
			p := make([]byte, 1204)
			copy(p, []byte{0x40, 0, 1200 >> 8, 1200 & 0xff})
			for {
				if _, err := cam.conn.Write(p); err != nil {
					return
				}
			}
		})
	}

	await(t, func() bool { return s.Stats().Packets > 1000 })
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}

	talk.Wait()
	if n := s.Stats(); n.Allocations != 0 || n.Sessions != 0 || n.Connections != 0 || n.AllocationsTotal != 8 {
		t.Errorf("%+v", n)
	}
}

// TestLogNamesNoAddressAboveDebugLevel: whatever clients do, nothing above debug level holds an address or a username.
func TestLogNamesNoAddressAboveDebugLevel(t *testing.T) {
	var out, debug bytes.Buffer
	for _, row := range []struct {
		w     *bytes.Buffer
		level slog.Level
	}{{&out, slog.LevelInfo}, {&debug, slog.LevelDebug}} {
		t.Run(row.level.String(), func(t *testing.T) {
			s := serve(t, Config{Logger: slog.New(slog.NewTextHandler(row.w, &slog.HandlerOptions{Level: row.level}))})
			cam, view := pair(t, s, "tcp", "udp")
			cam.permit(peerAt(sink(t).LocalAddr().(*net.UDPAddr)))
			view.cred.Password = "wrong"
			view.permit(peerAt(cam.relayed))
		})
	}

	if strings.Contains(out.String(), "127.0.0.1") || strings.Contains(out.String(), "198.18") {
		t.Errorf("logged %s", out.String())
	}
	if !strings.Contains(debug.String(), "127.0.0.1") {
		t.Error("there is no address at debug level either, so this test shows nothing")
	}
}
