package signaling

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// The other end of a session says by stalling how often there is reason to hurry: however often, few connections are dialled at a time.
func TestHurryIsBounded(t *testing.T) {
	c, err := NewClient(ClientConfig{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	var dials atomic.Int64
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials.Add(1)
		<-ctx.Done() // a relay that is out of reach
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	limit := time.After(time.Minute)
	for range 50 * hurryDials {
		select {
		case c.hurried <- struct{}{}:
		case <-limit:
			t.Fatal("nobody takes the word that somebody waits")
		}
	}
	for dials.Load() < hurryDials {
		select {
		case <-time.After(time.Millisecond):
		case <-limit:
			t.Fatalf("%d connections dialled, want %d", dials.Load(), hurryDials)
		}
	}
	cancel()
	<-done
	if n := dials.Load(); n != hurryDials {
		t.Errorf("%d connections dialled at a time, want %d", n, hurryDials)
	}
}
