package server

import (
	"log/slog"
	"net/http"
	"net/netip"
	"testing"

	"github.com/peephole-cam/peephole/signaling/bus"
)

// Who guesses from one address has so many connections to do it on; others are not disturbed.
func TestConnectionsOfAnAddressAreLimited(t *testing.T) {
	s, err := New(Config{PublicURL: "https://relay.example", Bus: bus.NewLocal(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	stranger, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for n := range connsPerAddr {
		if status := s.enter(stranger); status != http.StatusOK {
			t.Fatalf("connection %d: status %d", n, status)
		}
	}
	for range 2 {
		if status := s.enter(stranger); status != http.StatusTooManyRequests {
			t.Errorf("one connection more: status %d, want %d", status, http.StatusTooManyRequests)
		}
	}
	if status := s.enter(other); status != http.StatusOK {
		t.Errorf("somebody else: status %d", status)
	}
	s.leave(stranger)
	if status := s.enter(stranger); status != http.StatusOK {
		t.Errorf("after one has gone: status %d", status)
	}
	if n := s.Stats.TooMany.Load(); n != 2 {
		t.Errorf("%d refusals counted, want 2", n)
	}
}
