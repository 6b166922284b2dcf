package session

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/media"
)

// scopes is a log that records which of pion's parts write to it.
type scopes struct {
	slog.Handler
	mu   sync.Mutex
	seen map[string]bool // guarded by mu
}

func (s *scopes) Enabled(context.Context, slog.Level) bool { return false }

func (s *scopes) WithAttrs(attrs []slog.Attr) slog.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range attrs {
		if a.Key == "pion" {
			s.seen[a.Value.String()] = true
		}
	}

	return s
}

// TestEveryPartOfPionWritesToOurLog: otherwise a part would write to standard output, into the middle of the pairing
// code or the stream.
func TestEveryPartOfPionWritesToOurLog(t *testing.T) {
	log := &scopes{Handler: slog.DiscardHandler, seen: make(map[string]bool)}
	p, err := newPeer(t.Context(), peerConfig{carriers: []media.Carrier{media.VP8Carrier}, log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.pc.GracefulClose()

	log.mu.Lock()
	defer log.mu.Unlock()
	for _, scope := range []string{
		"pc", "ice", "ortc", "twcc_sender_interceptor", "receiver_interceptor", "sender_interceptor",
	} {
		if !log.seen[scope] {
			t.Errorf("%s does not write to our log; these do: %v", scope, log.seen)
		}
	}
}
