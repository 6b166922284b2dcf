package signaling

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Whatever keeps a relay out of reach, the error says what it is.
func TestRelayOutOfReachIsExplained(t *testing.T) {
	for err, want := range map[error]string{
		statusError(429):       "it has too many connections from this network",
		statusError(503):       "it is shutting down, or a proxy in front of it cannot reach it",
		statusError(504):       "a proxy in front of it cannot reach it (HTTP 504): is the relay running?",
		statusError(200):       "it answers HTTP 200: is it a Peephole relay?",
		&net.DNSError{}:        "no such host",
		syscall.ECONNREFUSED:   "connection refused",
		syscall.EHOSTUNREACH:   "no network",
		os.ErrDeadlineExceeded: "no answer",
		ErrFrame:               "it does not speak this protocol: is it a Peephole relay?",
		io.EOF:                 "connection lost",
	} {
		got := (&reachError{"relay.example", fmt.Errorf("dial: %w", err)}).Error()
		if want := "cannot reach the relay at relay.example: " + want; got != want {
			t.Errorf("%v: says %q\nwant %q", err, got, want)
		}
	}
}

func TestRelayURLsAreAdvised(t *testing.T) {
	for url, want := range map[string]string{
		"relay.example":          "read relay URL: want https://HOST or https://HOST:PORT",
		"http://relay.example":   "read relay URL: want https:// (http:// only for a relay on this machine)",
		"https://relay.example/": "read relay URL: want it spelled https://relay.example",
	} {
		if _, err := NewClient(ClientConfig{URL: url}); err == nil || err.Error() != want {
			t.Errorf("%s: says %v\nwant %q", url, err, want)
		}
	}
}

func TestFileThatHoldsNoTicketIsAdvised(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ticket")
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadTicket(file); err == nil ||
		err.Error() != "read ticket "+file+": not a ticket: ask the relay's operator for a new one" {
		t.Errorf("says %v", err)
	}
}
