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
	"strings"
	"testing"
	"time"
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
