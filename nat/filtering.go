package nat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/pion/stun/v3"
)

// Filtering is what a NAT lets in to a mapped socket (RFC 4787, section 5).
type Filtering string

// The filterings.
const (
	UnknownFiltering        Filtering = "unknown"
	OpenFiltering           Filtering = "endpoint-independent" // from anywhere
	AddressFiltering        Filtering = "address-dependent"    // from addresses it has sent to
	AddressAndPortFiltering Filtering = "address-and-port-dependent"
)

// Filtering finds out what reaches the socket at its mapped address. It needs a second socket behind the same NAT.
//
// near is another port of the address that answered with asked, and far a port of another address. Both must support
// RESPONSE-PORT (RFC 5780, section 7.5), and the socket must have sent nothing to either. Either may be the zero
// AddrPort; then less can be told.
func (s *Socket) Filtering(ctx context.Context, second *Socket, asked Binding,
	near, far netip.AddrPort) (Filtering, error) {
	fromFar, farKnown := s.letsIn(ctx, second, asked, far)
	if fromFar {
		return OpenFiltering, nil
	}
	fromNear, nearKnown := s.letsIn(ctx, second, asked, near)

	switch {
	case ctx.Err() != nil:
		return UnknownFiltering, ctx.Err()
	case nearKnown && !fromNear:
		return AddressAndPortFiltering, nil
	case nearKnown && farKnown:
		return AddressFiltering, nil
	}

	return UnknownFiltering, nil
}

// letsIn reports whether the socket hears a server that only the second socket has asked. If known is false, silence
// proves nothing: the server may be down, or unable to answer to another port.
func (s *Socket) letsIn(ctx context.Context, second *Socket, asked Binding, server netip.AddrPort) (heard, known bool) {
	if !server.IsValid() {
		return false, false
	}

	// The server answers to the second socket's mapped address, so both sockets must share it.
	b, err := second.Bind(ctx, server)
	if err != nil || b.Mapped.Addr() != asked.Mapped.Addr() {
		return false, false
	}

	port := asked.Mapped.Port()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest,
		stun.RawAttribute{Type: stun.AttrResponsePort, Value: []byte{byte(port >> 8), byte(port)}},
		stun.RawAttribute{Type: stun.AttrPadding, Value: make([]byte, 32)}) // at least as long as the answer
	if err != nil {
		return false, false
	}

	a, err := second.exchange(ctx, request, server, s)
	switch {
	case errors.Is(err, ErrSilent):
		return false, true
	case err != nil || a.at == second: // the server ignored RESPONSE-PORT
		return false, false
	}

	return a.from == server, a.from == server
}

// Hairpins reports whether a second socket behind the same NAT reaches this one at its mapped address.
func (s *Socket) Hairpins(ctx context.Context, second *Socket, mapped netip.AddrPort) (bool, error) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return false, fmt.Errorf("build Binding request: %w", err)
	}

	_, err = second.exchange(ctx, request, mapped, s)
	if errors.Is(err, ErrSilent) {
		return false, nil
	}
	return err == nil, err
}
