package signaling

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// The other end of a session can cause a Probe by stalling. However often that happens, the client dials few
// connections at a time.
func TestProbesDialFewConnectionsAtATime(t *testing.T) {
	c, err := NewClient(ClientConfig{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	var dials atomic.Int64
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials.Add(1)
		<-ctx.Done() // the relay is out of reach
		return nil, ctx.Err()
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	limit := time.After(time.Minute)
	for range 50 * maxDials {
		select {
		case c.dialNow <- struct{}{}:
		case <-limit:
			t.Fatal("the client does not dial although somebody is waiting")
		}
	}

	for dials.Load() < maxDials {
		select {
		case <-time.After(time.Millisecond):
		case <-limit:
			t.Fatalf("%d connections dialled, want %d", dials.Load(), maxDials)
		}
	}

	cancel()
	<-done
	if n := dials.Load(); n != maxDials {
		t.Errorf("%d connections dialled at a time, want %d", n, maxDials)
	}
}

// While somebody waits, the client dials a relay that is away every half second. After a minute it backs off again.
func TestProbeRedialsEachHalfSecondForAMinute(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c, err := NewClient(ClientConfig{URL: "https://relay.example"})
		if err != nil {
			t.Fatal(err)
		}
		var dials atomic.Int32
		c.http = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			dials.Add(1)
			return nil, io.EOF
		})}

		c.Probe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = c.Run(ctx)
		if n, want := dials.Swap(0), int32(time.Minute/redialInterval); n < want || n > want+2 {
			t.Errorf("%d dials in a minute, want %d", n, want)
		}

		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = c.Run(ctx)
		if n, most := dials.Load(), int32(20); n > most {
			t.Errorf("%d dials in the next minute, want %d at most", n, most)
		}
	})
}
