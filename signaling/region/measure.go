package region

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// measureTimeout bounds the measuring of one region.
	measureTimeout = 5 * time.Second
	// maxMeasuring is how many regions are measured at the same time.
	maxMeasuring = 8
	// samples is how many round trips are measured to a region. The least of them counts.
	samples = 3
)

// Client asks relays for the map of regions, and measures how far they are.
type Client struct{ http *http.Client }

// NewClient returns a client that trusts relays by cfg; nil means the system's roots.
func NewClient(cfg *tls.Config) *Client {
	return &Client{&http.Client{
		Transport: &http.Transport{TLSClientConfig: cfg, Proxy: http.ProxyFromEnvironment},
		Timeout:   measureTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { // a relay does not send its devices elsewhere
			return http.ErrUseLastResponse
		},
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Fetch gets the map that a relay serves, or returns ErrNone. It verifies nothing: see Open and Read.
func (c *Client) Fetch(ctx context.Context, relayURL string) (wire []byte, err error) {
	response, err := c.do(ctx, http.MethodGet, relayURL)
	if err != nil {
		return nil, fmt.Errorf("fetch map of regions: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil, ErrNone
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch map of regions: %s", response.Status)
	}
	wire, err = io.ReadAll(io.LimitReader(response.Body, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("fetch map of regions: %w", err)
	}
	return wire, nil
}

// Measure returns the round trips to those of the regions that answer, by URL.
func (c *Client) Measure(ctx context.Context, regions []Region) map[string]time.Duration {
	var mu sync.Mutex
	roundTrips := make(map[string]time.Duration)
	room := make(chan struct{}, maxMeasuring)
	var work sync.WaitGroup
	for _, r := range regions {
		work.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			if d, err := c.roundTrip(ctx, r.URL); err == nil {
				mu.Lock()
				defer mu.Unlock()
				roundTrips[r.URL] = d
			}
		})
	}
	work.Wait()
	return roundTrips
}

// roundTrip measures the round trip to a relay on a connection that is open.
func (c *Client) roundTrip(ctx context.Context, relayURL string) (least time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	for i := range 1 + samples { // the first one opens the connection
		began := time.Now()
		response, err := c.do(ctx, http.MethodHead, relayURL)
		if err != nil {
			return 0, err
		}
		response.Body.Close()
		if response.StatusCode >= http.StatusInternalServerError {
			return 0, fmt.Errorf("measure relay: %s", response.Status)
		}
		if d := time.Since(began); i == 1 || i > 1 && d < least {
			least = d
		}
	}
	return least, nil
}

func (c *Client) do(ctx context.Context, method, relayURL string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, relayURL+Path, nil)
	if err != nil {
		return nil, err
	}
	return c.http.Do(request)
}

// maxAhead is how far in the future a map may be dated, for clocks that are off. One dated later than that would keep
// out every correctly dated one.
const maxAhead = 24 * time.Hour

// Replaces reports whether a map that has opened may take the place of another (doc/protocol.md, section 5.9).
func (m Map) Replaces(old Map, now time.Time) bool {
	switch {
	case m.Issued.After(now.Add(maxAhead)):
		return false
	case now.After(m.NotAfter) && !now.After(old.NotAfter):
		return false
	}
	return m.Issued.After(old.Issued) || old.Issued.After(now.Add(maxAhead))
}

// Update returns the newer of two signed maps: wire, unless the one that is kept is to stay. kept may be nil. Without a
// key it accepts that of the map. It returns the map that counts, and the key that it is signed with; nil and an error
// if there is none.
func Update(kept, wire []byte, operator ed25519.PublicKey, now time.Time) ([]byte, ed25519.PublicKey, error) {
	next, key, err := read(wire, operator, now)
	if err != nil {
		return kept, operator, err
	}
	old, _, err := read(kept, key, now)
	if err == nil && !next.Replaces(old, now) {
		return kept, operator, nil
	}
	return wire, key, nil
}

// read opens a map by the operator's key, or without one by the map's own. An expired map is no error.
func read(wire []byte, operator ed25519.PublicKey, now time.Time) (m Map, key ed25519.PublicKey, err error) {
	if operator == nil {
		m, key, err = Read(wire, now)
	} else {
		m, err = Open(wire, operator, now)
		key = operator
	}
	if err != nil && m.Regions == nil {
		return Map{}, nil, err
	}
	return m, key, nil
}
