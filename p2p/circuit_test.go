package p2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	stock "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
)

// startRelay runs a relay of ours on this machine, and returns its multiaddr.
func startRelay(t testing.TB) (r *Relay, address string) {
	t.Helper()
	return startRelayAt(t, "127.0.0.1:0")
}

// startRelayAt is startRelay at an address and port. The multiaddr is this machine's by IPv4.
func startRelayAt(t testing.TB, at string) (r *Relay, address string) {
	t.Helper()
	r, err := ListenRelay(RelayConfig{
		Address: netip.MustParseAddrPort(at),
		Key:     testKey("relay"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := r.Close(); err != nil {
			t.Errorf("close relay: %v", err)
		}
	})
	return r, r.AddressAt("127.0.0.1")
}

// startStockRelay runs go-libp2p's own relay, in its own default host.
func startStockRelay(t testing.TB) (address string) {
	t.Helper()
	key, err := crypto.UnmarshalEd25519PrivateKey(testKey("stock relay"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.Identity(key), libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"),
		libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	r, err := stock.New(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return fmt.Sprintf("%s/p2p/%s", h.Addrs()[0], h.ID())
}

// listenCircuit opens a listener that relays bring to, and nothing else.
func listenCircuit(t testing.TB, key ed25519.PrivateKey, relays ...string) *Listener {
	t.Helper()
	l, err := Listen(Config{Key: key, Relays: relays})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := l.Close(); err != nil {
			t.Errorf("close listener: %v", err)
		}
	})
	return l
}

// dialUntil dials through relays until the camera's reservation is there.
func dialUntil(t testing.TB, relays []string, keys ...ed25519.PublicKey) *Conn {
	t.Helper()
	ctx := testContext(t)
	for {
		conn, err := DialCircuit(ctx, relays, keys)
		if err == nil {
			t.Cleanup(func() {
				conn.Close()
				<-conn.ended
			})
			return conn
		}
		select {
		case <-time.After(20 * time.Millisecond): // relays bound how often one address may come
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// TestViewerReachesCameraThroughRelay: by go-libp2p's own relay and by ours, whichever of sixty keys is the day's.
func TestViewerReachesCameraThroughRelay(t *testing.T) {
	for name, start := range map[string]func(testing.TB) string{
		"stock": startStockRelay,
		"ours": func(t testing.TB) string {
			_, address := startRelay(t)
			return address
		},
	} {
		t.Run(name, func(t *testing.T) {
			relays := []string{start(t)}
			l := listenCircuit(t, testKey("day 47"), relays...)
			var keys []ed25519.PublicKey
			for day := range 60 {
				keys = append(keys, publicKey(testKey(fmt.Sprint("day ", day))))
			}

			viewer := dialUntil(t, relays, keys...)
			camera := accept(t, l)
			camera.Proven()
			if camera.Origin() != viewer.Origin() {
				t.Errorf("the camera's end is named %q, the viewer's %q", camera.Origin(), viewer.Origin())
			}
			if a, err := netip.ParseAddrPort(camera.RemoteAddr().String()); err == nil {
				t.Errorf("the viewer's address is %v, which is the relay's at best", a)
			}
			if camera.Carrier() != CarrierCircuit || viewer.Carrier() != CarrierCircuit {
				t.Errorf("carriers %q and %q", camera.Carrier(), viewer.Carrier())
			}

			exchange(t, viewer, camera)
		})
	}
}

// TestReservationComesBack: a relay that was away has the camera again, once it is back.
func TestReservationComesBack(t *testing.T) {
	r, address := startRelay(t)
	key := testKey("today")
	l := listenCircuit(t, key, address)
	dialUntil(t, []string{address}, publicKey(key))
	accept(t, l)

	id, err := peerIDs([]ed25519.PublicKey{publicKey(key)})
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	there := r.reserved[id[0]]
	r.mu.Unlock()
	there.conn.Close()
	dialUntil(t, []string{address}, publicKey(key))
	accept(t, l)
}

// TestRelayThatLiesIsFoundOut: a relay that brings somebody else's connection brings nothing.
func TestRelayThatLiesIsFoundOut(t *testing.T) {
	r, address := startRelay(t)
	relays := []string{address}
	l := listenCircuit(t, testKey("somebody"), address)
	dialUntil(t, relays, publicKey(testKey("somebody")))
	accept(t, l)

	ids, err := peerIDs([]ed25519.PublicKey{publicKey(testKey("somebody")), publicKey(testKey("today"))})
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.reserved[ids[1]] = r.reserved[ids[0]]
	r.mu.Unlock()
	conn, err := DialCircuit(testContext(t), relays, []ed25519.PublicKey{publicKey(testKey("today"))})
	if err == nil {
		t.Errorf("connected to %s", conn.Origin())
	}
}

// TestUnknownCameraIsRefused: the relay has no reservation, and says so at once.
func TestUnknownCameraIsRefused(t *testing.T) {
	_, address := startRelay(t)
	_, err := DialCircuit(testContext(t), []string{address}, []ed25519.PublicKey{publicKey(testKey("today"))})
	if !errors.Is(err, errNoReservation) {
		t.Errorf("got %v", err)
	}
}
