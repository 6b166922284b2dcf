package nat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/pion/stun/v3"
)

// packetSizes are the sizes to try, in bytes with the IP header, largest first: Ethernet's, what is left of it inside
// various tunnels, and the smallest that IPv6 (1280) and IPv4 (576) must carry.
var packetSizes = []int{
	1500, 1492, 1480, 1472, 1460, 1440, 1420, 1400, 1380, 1360,
	1340, 1320, 1300, 1280, 1200, 1100, 1000, 800, 576,
}

// ErrNoPadding is returned for a server that does not pad its answers to the length of the requests.
var ErrNoPadding = errors.New("the server does not pad its answers")

// Largest returns the size, in bytes, of the largest IP packet that reaches a server and comes back whole, among the
// sizes that it tries. The server must answer a padded request with an answer as long (RFC 5780, section 7.6).
// It returns ErrSilent, ErrNoPadding or ctx's error.
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

	for i, size := range packetSizes {
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

// padded sends a request of the given length. It reports whether an answer as long came back, or else a shorter one.
func (s *Socket) padded(ctx context.Context, server netip.AddrPort, length int) (through, short bool) {
	const headers = 20 + 4 // the message's and the attribute's
	padding := stun.RawAttribute{Type: stun.AttrPadding, Value: make([]byte, length-headers)}
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, padding)
	if err != nil {
		return false, false
	}

	a, err := s.exchange(ctx, request, server, s)
	if err != nil || a.from != server {
		return false, false
	}
	return len(a.message.Raw) == length, len(a.message.Raw) < length
}
