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

// Filtering finds out what reaches the socket at its mapped address; second is another socket behind the same NAT. near is
// another port of the address that said asked, and far one of another address; both answer by RESPONSE-PORT (RFC 5780,
// section 7.5), and either may be the zero AddrPort. The socket must have sent nothing to either.
func (s *Socket) Filtering(ctx context.Context, second *Socket, asked Binding, near, far netip.AddrPort) (Filtering, error) {
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

// letsIn says whether the socket hears a server that only the second socket has asked. known: silence is the NAT's, for the server
// is there and can do that.
func (s *Socket) letsIn(ctx context.Context, second *Socket, asked Binding, server netip.AddrPort) (yes, known bool) {
	if !server.IsValid() {
		return false, false
	}
	// The answer goes to the address that the second socket has outside: it must be the first's.
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
	case err != nil || a.at == second: // a server that knows no RESPONSE-PORT
		return false, false
	}
	return a.from == server, a.from == server
}

// Hairpins says whether a second socket behind the same NAT reaches this one at its mapped address.
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
