package server

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/peephole-cam/peephole/signaling/bus"
)

// Somebody who guesses from one address gets only a limited number of connections. Others are not disturbed.
func TestConnectionsOfAnAddressAreLimited(t *testing.T) {
	s, err := New(Config{PublicURL: "https://relay.example", Bus: bus.NewLocal(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	enter := func(addr string) int {
		_, status := s.addConn(s.accountOf(netip.MustParseAddr(addr)), connCost)
		return status
	}

	const stranger = "2001:db8::1"
	entered := 0
	for enter(stranger) == http.StatusOK {
		entered++
	}

	if entered < 100 || entered > 500 {
		t.Errorf("%d connections from one address, want some 300", entered)
	}
	if status := enter("2001:db8::ffff:1"); status != http.StatusTooManyRequests {
		t.Errorf("from the same /64: status %d, want %d", status, http.StatusTooManyRequests)
	}

	for _, other := range []string{"2001:db8:0:1::1", "2001:db8:1::1", "192.0.2.2"} {
		if status := enter(other); status != http.StatusOK {
			t.Errorf("somebody else, %s: status %d", other, status)
		}
	}

	if n := s.Stats.RefusedConnections.Load(); n != 2 {
		t.Errorf("%d refusals counted, want 2", n)
	}
}
