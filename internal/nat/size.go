package nat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/pion/stun/v3"
)

// packetSizes are tried, in bytes with the IP header: an Ethernet's, what tunnels of many kinds leave of it, IPv6's least, and
// IPv4's.
var packetSizes = []int{1500, 1492, 1480, 1472, 1460, 1440, 1420, 1400, 1380, 1360, 1340, 1320, 1300, 1280, 1200, 1100, 1000, 800, 576}

// ErrNoPadding is returned for a server whose answers do not grow with the questions.
var ErrNoPadding = errors.New("the server does not pad its answers")

// Largest is the size of the largest IP packet, among those that are tried, that gets to a server and back whole. The server is
// one that answers a padded request by an answer as long (RFC 5780, section 7.6). Errors: ErrSilent, ErrNoPadding, or ctx's.
func (s *Socket) Largest(ctx context.Context, server netip.AddrPort) (size int, err error) {
	s.forbidFragments()
	headers := 20 + 8
	if !server.Addr().Unmap().Is4() {
		headers = 40 + 8
	}
	through, short := make([]bool, len(packetSizes)), make([]bool, len(packetSizes))
	var asking sync.WaitGroup
	for i, size := range packetSizes {
		asking.Go(func() { through[i], short[i] = s.padded(ctx, server, size-headers) })
	}
	asking.Wait()
	for i, size := range packetSizes { // the largest first
		switch {
		case short[i]:
			return 0, fmt.Errorf("measure packets: %w", ErrNoPadding)
		case through[i]:
			return size, nil
		}
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return 0, fmt.Errorf("measure packets: %w", ErrSilent)
}

// padded asks with a datagram of a length; short: the answer was a shorter one.
func (s *Socket) padded(ctx context.Context, server netip.AddrPort, length int) (through, short bool) {
	const headers = 20 + 4 // of the message, of the attribute
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.RawAttribute{Type: stun.AttrPadding, Value: make([]byte, length-headers)})
	if err != nil {
		return false, false
	}
	a, err := s.exchange(ctx, request, server, s)
	if err != nil || a.from != server {
		return false, false
	}
	return len(a.message.Raw) == length, len(a.message.Raw) < length
}
