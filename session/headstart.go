package session

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

// udpHeadStart is how long TURN over UDP has to itself before TCP and TLS are tried too (RFC 8305, section 5, has as much
// between attempts). pion takes the first relayed pair that works and does not mind by which way, so without it a
// session stays on TCP where UDP works, and each would cost the relay three allocations where one does.
const udpHeadStart = 250 * time.Millisecond

// errNotNeeded is told to pion instead of a connection.
var errNotNeeded = errors.New("the relay is reached over UDP")

// maxAsked bounds how many requests for an allocation are remembered: pion makes a few for each server and network interface.
const maxAsked = 256

// headStart is what TURN over UDP has in one session. A nil one is none.
type headStart struct {
	once    sync.Once
	granted chan struct{} // closed when the relay has granted an allocation over UDP

	mu    sync.Mutex
	asked map[[stun.TransactionIDSize]byte]netip.AddrPort // guarded by mu; what was asked for an allocation, by the transaction
}

// newHeadStart gives one if there is a server to be reached over UDP.
func newHeadStart(urls []string) *headStart {
	for _, u := range urls {
		if strings.HasPrefix(u, "turn:") && !strings.HasSuffix(u, "=tcp") {
			return &headStart{granted: make(chan struct{}), asked: make(map[[stun.TransactionIDSize]byte]netip.AddrPort)}
		}
	}
	return nil
}

// ask looks at a message that is sent over UDP.
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

// hear looks at a message that came over UDP. It counts if it answers what was asked, and comes from who was asked: whoever could only
// send to this socket shall not keep a session from TCP.
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

// transactionOf is the transaction id of a STUN message of a type, and whether it is one.
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
