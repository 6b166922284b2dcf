package turn

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// certificate makes a self-signed one.
func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// TestRelay: both ends of a session reach each other, by indications and by channels, over every transport.
func TestRelay(t *testing.T) {
	shared, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, Config{TLSAddress: "127.0.0.1:0", TLS: certificate(t), Shared: shared})
	for _, over := range [][2]string{{"udp", "udp"}, {"udp", "tcp"}, {"tcp", "udp"}, {"tcp", "tcp"}, {"tls", "udp"}, {"tls", "tls"}, {"shared", "tls"}} {
		t.Run(over[0]+" to "+over[1], func(t *testing.T) {
			cam, view := pair(t, s, over[0], over[1])
			if a, b := cam.permit(peerAt(view.relayed)), view.permit(peerAt(cam.relayed)); a != 0 || b != 0 {
				t.Fatalf("permission: %d, %d", a, b)
			}
			cam.send(peerAt(view.relayed), "picture")
			if got, want := view.receive(), (received{from: cam.relayed.String(), data: "picture"}); got != want {
				t.Errorf("viewer got %+v, want %+v", got, want)
			}
			if a, b := cam.bind(0x4000, peerAt(view.relayed)), view.bind(0x4fff, peerAt(cam.relayed)); a != 0 || b != 0 {
				t.Fatalf("channel: %d, %d", a, b)
			}
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
		return n.Packets == 7*5 && n.Bytes == 7*(7+2*(6+1201)) && n.AllocationsTotal == 14
	})
}

// TestIPv6Client: clients may come over IPv6; relayed addresses are IPv4 all the same.
func TestIPv6Client(t *testing.T) {
	s := serve(t, Config{Address: "[::1]:0"})
	cam, view := pair(t, s, "udp", "tcp")
	if a, b := cam.permit(peerAt(view.relayed)), view.permit(peerAt(cam.relayed)); a+b != 0 {
		t.Fatalf("permission: %d, %d", a, b)
	}
	cam.send(peerAt(view.relayed), "picture")
	if got := view.receive(); got.data != "picture" || cam.relayed.IP.To4() == nil {
		t.Errorf("viewer got %+v from %v", got, cam.relayed)
	}
}

// TestIdleGoroutines: an allocation has no goroutine.
func TestIdleGoroutines(t *testing.T) {
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

// TestReload: an end that allocates anew is reached at both addresses while the old one lives, up to the cap, and
// makes room by deleting.
func TestReload(t *testing.T) {
	s := serve(t, Config{MaxPerRole: 2})
	g := grant(t, s.config.Keys)
	view := dial(t, s, "udp", g.Viewer)
	cams := []*client{dial(t, s, "udp", g.Camera), dial(t, s, "tcp", g.Camera), dial(t, s, "udp", g.Camera)}
	if a, b, c, d := view.allocate(), cams[0].allocate(), cams[1].allocate(), cams[2].allocate(); a+b+c != 0 || d != 486 {
		t.Fatalf("allocate: %d, %d, %d, %d", a, b, c, d)
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
		t.Errorf("permission for what is deleted: %d", code)
	}
	if code := cams[2].allocate(); code != 0 {
		t.Errorf("allocate after delete: %d", code)
	}
	if cams[2].relayed.String() == cams[0].relayed.String() {
		t.Error("an address was used again at once")
	}
}

// TestStreamEnds: a connection's end is its allocation's end.
func TestStreamEnds(t *testing.T) {
	s := serve(t, Config{})
	cam, view := pair(t, s, "tcp", "udp")
	if code := view.permit(peerAt(cam.relayed)); code != 0 {
		t.Fatal(code)
	}
	cam.conn.Close()
	await(t, func() bool { return s.Stats().Allocations == 1 && s.Stats().Connections == 0 })
	if code := view.permit(peerAt(cam.relayed)); code != 403 {
		t.Errorf("permission for what is gone: %d", code)
	}
}

// TestExpires: an allocation that is not refreshed ends, and its place is free.
func TestExpires(t *testing.T) {
	s := serve(t, Config{MaxAllocations: 1})
	g := grant(t, s.config.Keys)
	cam, view := dial(t, s, "udp", g.Camera), dial(t, s, "udp", g.Viewer)
	if code := cam.allocate(attribute(stun.AttrLifetime, 0, 0, 0, 1)); code != 0 {
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

// await polls: for what happens in the server without a message that says so.
func await(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("does not happen")
		}
	}
}

// TestRefusedAllocates: what pion would grant, and we do not have.
func TestRefusedAllocates(t *testing.T) {
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
		if code := c.allocate(attribute(stun.AttrRequestedAddressFamily, 2, 0, 0, 0)); code != 0 { // an IPv4 address all the same
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
	if c, _, err := (generator{relay: s.relay}).AllocateConn("tcp4", 0); c != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("AllocateConn: %v, %v", c, err)
	}
}

func TestConnectionLimit(t *testing.T) {
	s := serve(t, Config{MaxConns: 1})
	dial(t, s, "tcp", Credential{}).fence()
	second, err := net.Dial("tcp", s.Addresses().TCP.String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	second.SetReadDeadline(time.Now().Add(patience))
	var timeout net.Error
	if _, err := second.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("second connection was kept: %v", err)
	}
	if n := s.Stats().Refusals["connections"]; n != 1 {
		t.Errorf("%d refusals", n)
	}
}

// TestNew: New serves nothing, Close frees what it bound, and a server runs once.
func TestNew(t *testing.T) {
	s, err := New(Config{Address: "127.0.0.1:0", Keys: newKeys(t)})
	if err != nil {
		t.Fatal(err)
	}
	at := s.Addresses().TCP.String()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := s.Run(context.Background()); !errors.Is(err, ErrRun) {
		t.Errorf("Run after Close: %v", err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatalf("address is still taken: %v", err)
	}
	defer l.Close()
	if _, err := New(Config{Address: at, Keys: newKeys(t)}); err == nil {
		t.Error("New took an address that is in use")
	}
	good := Config{Address: "127.0.0.1:0", Keys: newKeys(t)}
	for name, spoil := range map[string]func(*Config){
		"no address":  func(c *Config) { c.Address = "" },
		"no keys":     func(c *Config) { c.Keys = nil },
		"no TLS":      func(c *Config) { c.TLSAddress = "127.0.0.1:0" },
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

func TestURLs(t *testing.T) {
	s := serve(t, Config{})
	s.addresses = Addresses{UDP: clientOf(&net.UDPAddr{IP: net.IPv4zero, Port: 3478}), TCP: clientOf(&net.TCPAddr{IP: net.IPv4zero, Port: 3479})}
	want := []string{"turn:relay.example:3478?transport=udp", "turn:relay.example:3479?transport=tcp"}
	if got := s.URLs("relay.example", "other.example"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	s.addresses.TLS = clientOf(&net.TCPAddr{IP: net.IPv4zero, Port: 443})
	want = []string{"turn:[::1]:3478?transport=udp", "turn:[::1]:3479?transport=tcp", "turns:relay.example:443?transport=tcp"}
	if got := s.URLs("::1", "relay.example"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestCloseUnderLoad: everything ends while both ends talk; TestMain and serve look for what is left.
func TestCloseUnderLoad(t *testing.T) {
	k := newKeys(t)
	s, err := New(Config{Address: "127.0.0.1:0", Keys: k})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	var talk sync.WaitGroup
	for range 4 {
		cam, view := pair(t, s, "tcp", "udp")
		if a, b := cam.bind(0x4000, peerAt(view.relayed)), view.bind(0x4000, peerAt(cam.relayed)); a+b != 0 {
			t.Fatal(a, b)
		}
		talk.Go(func() { // until the server hangs up; the viewer reads nothing
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

// TestLog: no address and no username above debug level, whatever clients do.
func TestLog(t *testing.T) {
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
		t.Error("nothing to see at debug level either: this test shows nothing")
	}
}
