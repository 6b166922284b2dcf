package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/internal/nat"
)

// leastMTU is what Peephole's packets need: IPv6's least (media.Carrier).
const leastMTU = 1280

// mtu measures the largest packet that gets to a relay and back.
func mtu(ctx context.Context, all []*udp, family string) Finding {
	f := Finding{Check: "mtu", Verdict: Unknown, Text: "it takes a relay's second UDP port, and UDP that gets through, to measure packets"}
	for _, u := range all {
		at := answering(u, family)
		if family == "" || !at.IsValid() {
			continue
		}
		s, err := nat.Listen("udp" + family)
		if err != nil {
			return f
		}
		defer s.Close()
		size, err := s.Largest(ctx, at)
		if errors.Is(err, nat.ErrNoPadding) {
			f.Text = "the relay is an older one that cannot measure packets"
			continue
		}
		if err != nil {
			f.Text = "nothing came back of packets of any size"
			continue
		}
		return judgeMTU(f, size)
	}
	return f
}

func judgeMTU(f Finding, size int) Finding {
	f.Verdict, f.Value = OK, fmt.Sprint(size)
	f.Text = fmt.Sprintf("packets of %d bytes get through both ways, and Peephole's have %d at most", size, leastMTU)
	if size < leastMTU {
		f.Verdict = Bad
		f.Text = fmt.Sprintf("packets larger than %d bytes are lost, and Peephole's have up to %d: set the MTU of the tunnel or VPN on the way to %d or more", size, leastMTU, leastMTU)
	}
	return f
}
