package turnclient

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pion/stun/v3"
)

// udpHeadStart is how long a session tries TURN over UDP alone, before it tries TCP and TLS too. RFC 8305, section 5,
// has the same time between attempts. pion uses the first relayed pair that works, whichever way it takes to the relay.
// Without the head start, sessions would stay on TCP although UDP works, and each would cost the relay three
// allocations instead of one.
const udpHeadStart = 250 * time.Millisecond

// errNotNeeded is the error that pion gets instead of a connection over TCP or TLS.
var errNotNeeded = errors.New("the relay is reached over UDP")

// maxAsked bounds the requests for an allocation that a head start remembers. pion makes a few for each server and
// network interface.
const maxAsked = 256

// headStart is the head start of TURN over UDP in one session. With a nil headStart, UDP has none.
type headStart struct {
	once    sync.Once
	granted chan struct{} // closed when the relay has granted an allocation over UDP

	mu sync.Mutex
	// guarded by mu; which server was asked for an allocation, by transaction
	asked map[[stun.TransactionIDSize]byte]netip.AddrPort
}

// newHeadStart returns a head start if one of the servers is reached over UDP, and nil otherwise.
func newHeadStart(urls []string) *headStart {
	for _, u := range urls {
		if strings.HasPrefix(u, "turn:") && !strings.HasSuffix(u, "=tcp") {
			return &headStart{granted: make(chan struct{}),
				asked: make(map[[stun.TransactionIDSize]byte]netip.AddrPort)}
		}
	}
	return nil
}

// ask looks at a message that is sent over UDP, and remembers it if it asks for an allocation.
func (h *headStart) ask(b []byte, to net.Addr) {
	id, ok := transactionOf(b, 0x0003) // Allocate, request
	at, ok2 := to.(*net.UDPAddr)
	if h == nil || !ok || !ok2 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.asked) < maxAsked {
		h.asked[id] = plainOf(at)
	}
}

// hear looks at a message that arrived over UDP. An allocation counts only if the message answers a request and comes
// from the server that was asked: a stranger who can send to this socket must not keep a session from TCP.
func (h *headStart) hear(b []byte, from net.Addr) {
	id, ok := transactionOf(b, 0x0103) // Allocate, success response
	at, ok2 := from.(*net.UDPAddr)
	if h == nil || !ok || !ok2 {
		return
	}

	h.mu.Lock()
	asked, ok := h.asked[id]
	h.mu.Unlock()
	if ok && asked == plainOf(at) {
		h.once.Do(func() { close(h.granted) })
	}
}

// transactionOf returns the transaction id of a STUN message. ok is false if the message is not of the type kind.
func transactionOf(b []byte, kind uint16) (id [stun.TransactionIDSize]byte, ok bool) {
	if len(b) < 20 || binary.BigEndian.Uint16(b) != kind || !stun.IsMessage(b) {
		return id, false
	}
	return [stun.TransactionIDSize]byte(b[8:20]), true
}

func plainOf(a *net.UDPAddr) netip.AddrPort {
	at := a.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// wait waits for d and reports whether the relay has granted an allocation over UDP. It returns as soon as it has, or
// when ctx ends.
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
