package turn

import (
	"context"
	"net/netip"

	"github.com/pion/stun/v3"
)

// drain is what a server that takes no more clients answers to Allocate.
type drain struct {
	alternates []netip.AddrPort
	empty      chan struct{} // closed once no allocation is left
}

// Drain refuses new allocations from now on and keeps those that live, which refresh as before. Who asks is told 300 (Try
// Alternate, RFC 8489 section 10) and the first of alternates of its address family, or 508 where there is none. It returns nil once
// no allocation is left, or why ctx ended before. There is no way back. XDP is detached: an interface has one program, and the server that
// comes next wants it.
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

// Draining says whether Drain was called.
func (s *Server) Draining() bool { return s.relay.draining.Load() != nil }

// drain begins to drain; what is drained already stays as it is.
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

// refusal is what an Allocate from client is answered: a code, and where to go instead, if there is somewhere.
func (d *drain) refusal(client netip.Addr) (stun.ErrorCode, netip.AddrPort) {
	for _, a := range d.alternates {
		if a.Addr().Unmap().Is4() == client.Is4() {
			return stun.CodeTryAlternate, a
		}
	}
	return stun.CodeInsufficientCapacity, netip.AddrPort{}
}
