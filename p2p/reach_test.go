package p2p

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestRelayIsReached: by the multiaddr that cameras know, ours and a stock one, and by no other key.
func TestRelayIsReached(t *testing.T) {
	r, address := startRelay(t)
	for _, address := range []string{address, startStockRelay(t)} {
		if err := ReachRelay(testContext(t), address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}

	other, err := RelayAddress("127.0.0.1", r.Addr().Port(), publicKey(testKey("another relay")))
	if err != nil {
		t.Fatal(err)
	}
	if err := ReachRelay(testContext(t), other); !errors.Is(err, ErrOtherKey) {
		t.Errorf("by another key: %v", err)
	}
}

// TestRelayThatIsNotThereIsNotReached: a port that answers nothing, and a relay for other things.
func TestRelayThatIsNotThereIsNotReached(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	key := publicKey(testKey("relay"))
	address, err := RelayAddress("127.0.0.1", netip.MustParseAddrPort(silent.LocalAddr().String()).Port(), key)
	if err != nil {
		t.Fatal(err)
	}

	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := ReachRelay(soon, address); err == nil || errors.Is(err, ErrOtherKey) {
		t.Errorf("a port that answers nothing: %v", err)
	}
	if err := ReachRelay(testContext(t), "https://relay.example"); !errors.Is(err, errRelay) {
		t.Errorf("no circuit relay at all: %v", err)
	}

	l := listenCircuit(t, testKey("today"), address) // a camera's port takes no requests for circuits
	camera, err := RelayAddress("127.0.0.1", uint16(l.port), publicKey(testKey("today")))
	if err != nil {
		t.Fatal(err)
	}
	if err := ReachRelay(testContext(t), camera); err == nil || errors.Is(err, ErrOtherKey) {
		t.Errorf("a camera: %v", err)
	}
}
