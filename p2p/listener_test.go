package p2p

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/quic-go/quic-go"
)

// patience ends a test that hangs.
const patience = time.Minute

// testKey returns the host key of a day.
func testKey(day string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(day))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicKey(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// listenLAN opens a listener that nothing announces.
func listenLAN(t testing.TB, key ed25519.PrivateKey) *Listener {
	t.Helper()
	l, err := Listen(Config{Key: key, LAN: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close listener: %v", err)
		}
	})
	return l
}

// onLoopback returns where a listener is, on this machine.
func onLoopback(l *Listener) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), l.port)
}

// dialLoopback opens a connection to a listener on this machine, as FindLAN does.
func dialLoopback(t testing.TB, l *Listener, key ed25519.PublicKey) (*Conn, error) {
	t.Helper()
	e, err := newCaller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close() })
	ids, err := peerIDs([]ed25519.PublicKey{key})
	if err != nil {
		t.Fatal(err)
	}
	return e.dialLAN(testContext(t), onLoopback(l), ids[0])
}

// accept returns the next connection of a listener.
func accept(t testing.TB, l *Listener) *Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*Conn)
}

// exchange sends something each way, closes one end, and wants the other to see that.
func exchange(t testing.TB, viewer, camera net.Conn) {
	t.Helper()
	deadline := time.Now().Add(patience)
	if err := errors.Join(viewer.SetDeadline(deadline), camera.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	for _, way := range []struct{ from, to net.Conn }{{viewer, camera}, {camera, viewer}} {
		want := bytes.Repeat([]byte("sealed"), 20_000)
		go way.from.Write(want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("something else arrived: %v", err)
		}
	}

	if _, err := viewer.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	viewer.Close()
	if last, err := io.ReadAll(camera); err != nil || string(last) != "last" {
		t.Errorf("read %q and %v, want what was written before the end", last, err)
	}
}

// TestViewerReachesCamera: a connection carries bytes both ways, both ends name it alike, and its address is one that
// limits can count by.
func TestViewerReachesCamera(t *testing.T) {
	key := testKey("today")
	l := listenLAN(t, key)
	viewer, err := dialLoopback(t, l, publicKey(key))
	if err != nil {
		t.Fatal(err)
	}
	camera := accept(t, l)
	camera.Proven()

	if camera.Origin() != viewer.Origin() || !strings.HasPrefix(camera.Origin(), "p2p:12D3Koo") {
		t.Errorf("the camera's end is named %q, the viewer's %q", camera.Origin(), viewer.Origin())
	}
	if from, err := netip.ParseAddrPort(camera.RemoteAddr().String()); err != nil || !from.Addr().IsLoopback() {
		t.Errorf("the viewer's address is %v, %v", camera.RemoteAddr(), err)
	}
	if camera.Carrier() != CarrierLAN || viewer.Carrier() != CarrierLAN {
		t.Errorf("carriers %q and %q", camera.Carrier(), viewer.Carrier())
	}

	exchange(t, viewer, camera)
}

// TestEveryConnectionHasItsOrigin: what is signed for one connection is worth nothing on another.
func TestEveryConnectionHasItsOrigin(t *testing.T) {
	key := testKey("today")
	l := listenLAN(t, key)
	var origins [2]string
	for i := range origins {
		if _, err := dialLoopback(t, l, publicKey(key)); err != nil {
			t.Fatal(err)
		}
		origins[i] = accept(t, l).Origin()
	}
	if origins[0] == origins[1] {
		t.Errorf("both connections are named %s", origins[0])
	}
}

// TestViewerRefusesAnotherKey: who has not the key is not the camera.
func TestViewerRefusesAnotherKey(t *testing.T) {
	l := listenLAN(t, testKey("somebody"))
	if c, err := dialLoopback(t, l, publicKey(testKey("today"))); err == nil {
		t.Errorf("connected to %s", c.Origin())
	}
}

// TestCloseEndsEverything: no connection and no waiting Accept outlives the listener.
func TestCloseEndsEverything(t *testing.T) {
	key := testKey("today")
	l := listenLAN(t, key)
	viewer, err := dialLoopback(t, l, publicKey(key))
	if err != nil {
		t.Fatal(err)
	}
	accept(t, l).Proven()
	accepting := make(chan error)
	go func() {
		_, err := l.Accept()
		accepting <- err
	}()

	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepting; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v", err)
	}
	if err := l.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run returned %v", err)
	}

	viewer.SetReadDeadline(time.Now().Add(patience))
	var timeout net.Error
	if _, err := viewer.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the viewer read on: %v", err)
	}
}

// TestStrangerGetsTwoConnections: a third one from the same address is refused before its handshake, until one of the
// others has proved to be somebody.
func TestStrangerGetsTwoConnections(t *testing.T) {
	key := testKey("today")
	l := listenLAN(t, key)
	var conns [2]*Conn
	for i := range conns {
		if _, err := dialLoopback(t, l, publicKey(key)); err != nil {
			t.Fatal(err)
		}
		conns[i] = accept(t, l)
		conns[i].slot.deadline.Stop()
	}
	_, err := dialLoopback(t, l, publicKey(key))
	var refused *quic.TransportError
	if !errors.As(err, &refused) || refused.ErrorCode != quic.ConnectionRefused {
		t.Fatalf("a third one: %v", err)
	}

	conns[0].Proven()
	if _, err := dialLoopback(t, l, publicKey(key)); err != nil {
		t.Error(err)
	}
}

// TestSilentConnectionEnds: one that opens no stream, and one that agrees on no protocol, end with their slots and are
// in nobody's way until then.
func TestSilentConnectionEnds(t *testing.T) {
	key := testKey("today")
	for name, open := range map[string]func(context.Context, transport.CapableConn) error{
		"no stream": func(context.Context, transport.CapableConn) error { return nil },
		"no protocol": func(ctx context.Context, c transport.CapableConn) error {
			s, err := c.OpenStream(ctx)
			if err == nil {
				_, err = s.Write([]byte("\x13/multistream/1.0.0\n"))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := listenLAN(t, key)
			silent, err := newCaller()
			if err != nil {
				t.Fatal(err)
			}
			defer silent.close()
			c, err := silent.dial(testContext(t), onLoopback(l), l.lan.id)
			if err == nil {
				err = open(testContext(t), c)
			}
			if err != nil {
				t.Fatal(err)
			}
			l.admission.mu.Lock()
			unproven := slices.Clone(l.admission.unproven)
			l.admission.mu.Unlock()
			if len(unproven) == 0 {
				t.Fatal("the connection ended before its time")
			}
			s := unproven[0]
			s.deadline.Stop()
			if _, err := dialLoopback(t, l, publicKey(key)); err != nil {
				t.Fatal(err)
			}
			accept(t, l)

			s.drop()
			if _, err := c.AcceptStream(); err == nil {
				t.Error("the camera opened a stream")
			}
		})
	}
}

// TestNothingIsLeft: no socket outlives its connection, at either end, on either way.
func TestNothingIsLeft(t *testing.T) {
	files := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("cannot count open files: %v", err)
		}
		return len(all)
	}
	_, relay := startRelay(t)

	before := files()
	for range 3 {
		t.Run("", func(t *testing.T) {
			key := testKey("today")
			l := listenCircuit(t, key, relay)
			dialUntil(t, []string{relay}, publicKey(key))
			accept(t, l)
			lan := listenLAN(t, key)
			if _, err := dialLoopback(t, lan, publicKey(key)); err != nil {
				t.Fatal(err)
			}
			accept(t, lan)
		})
	}
	if after := files(); after > before {
		t.Errorf("%d files are open, and %d were", after, before)
	}
}
