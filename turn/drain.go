package turn

import (
	"context"
	"net/netip"

	"github.com/pion/stun/v3"
)

// drain is how a server that takes no new clients answers an Allocate.
type drain struct {
	alternates []netip.AddrPort
	empty      chan struct{} // closed once no allocation is left
}

// Drain refuses new allocations from now on, and keeps the living ones, which refresh as before. An Allocate is
// answered with 300 (Try Alternate, RFC 8489 section 10) and the first of alternates of the client's address family, or
// 508 if there is none. Drain returns nil once no allocation is left, or the cause if ctx ends before that. There is no
// way back. Drain detaches XDP, since an interface has one program, and the next server needs the interface.
func (s *Server) Drain(ctx context.Context, alternates ...netip.AddrPort) error {
	d := s.relay.drain(alternates)
	if err := s.relay.closeKernel(); err != nil {
		s.config.Logger.Warn("detach XDP", "error", err)
	}

	select {
	case <-d.empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Draining reports whether Drain was called.
func (s *Server) Draining() bool { return s.relay.draining.Load() != nil }

// drain starts to drain, unless the relay is draining already.
func (r *relay) drain(alternates []netip.AddrPort) *drain {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.draining.Load(); d != nil {
		return d
	}

	d := &drain{alternates: alternates, empty: make(chan struct{})}
	r.draining.Store(d)
	if len(r.addresses) == 0 {
		close(d.empty)
	}
	return d
}

// refusal returns the answer to an Allocate from client: a code, and where to go instead, if there is somewhere.
func (d *drain) refusal(client netip.Addr) (stun.ErrorCode, netip.AddrPort) {
	for _, a := range d.alternates {
		if a.Addr().Unmap().Is4() == client.Is4() {
			return stun.CodeTryAlternate, a
		}
	}
	return stun.CodeInsufficientCapacity, netip.AddrPort{}
}
