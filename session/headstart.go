package session

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/pion/stun/v3"
)

// udpHeadStart is how long TURN over UDP has to itself before TCP and TLS are tried too (RFC 8305, section 5, has as much
// between attempts). pion takes the first relayed pair that works and does not mind by which way, so without it a
// session stays on TCP where UDP works, and each would cost the relay three allocations where one does.
const udpHeadStart = 250 * time.Millisecond

// errNotNeeded is told to pion instead of a connection.
var errNotNeeded = errors.New("the relay is reached over UDP")

// headStart is what TURN over UDP has in one session. A nil one is none.
type headStart struct {
	once    sync.Once
	granted chan struct{} // closed when the relay has granted an allocation over UDP
}

// newHeadStart gives one if there is a server to be reached over UDP.
func newHeadStart(urls []string) *headStart {
	for _, u := range urls {
		if strings.HasPrefix(u, "turn:") && !strings.HasSuffix(u, "=tcp") {
			return &headStart{granted: make(chan struct{})}
		}
	}
	return nil
}

// hear looks at a message that came over UDP.
func (h *headStart) hear(b []byte) {
	if h == nil || len(b) < 2 || b[0] != 0x01 || b[1] != 0x03 || !stun.IsMessage(b) { // Allocate, success response
		return
	}
	h.once.Do(func() { close(h.granted) })
}

// wait waits for d, and says whether UDP will do: an allocation was granted. It returns at once when that is so, or when ctx ends.
func (h *headStart) wait(ctx context.Context, d time.Duration) bool {
	if h == nil {
		return false
	}
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-h.granted:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	select {
	case <-h.granted:
		return true
	default:
		return false
	}
}
