package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/peephole-cam/peephole/nat"
)

// minMTU is the size of Peephole's largest packets (media.Carrier): the least that IPv6 guarantees.
const minMTU = 1280

// checkMTU measures the largest packet that reaches a relay and comes back.
func checkMTU(ctx context.Context, all []*udp, family string) Finding {
	f := Finding{Check: "mtu"}
	f = f.conclude(Unknown, "", "not measured: that takes UDP, and a relay with a second UDP port")
	if family == "" {
		return f
	}

	for _, u := range all {
		at := u.answeringSecond(family)
		if !at.IsValid() {
			continue
		}
		s, err := nat.Listen("udp" + family)
		if err != nil {
			return f
		}
		size, err := s.Largest(ctx, at)
		s.Close()

		switch {
		case errors.Is(err, nat.ErrNoPadding):
			f = f.conclude(Unknown, "", "not measured: the relay is too old for it")
		case err != nil:
			f = f.conclude(Unknown, "", "no packet of any size came back")
		default:
			return judgeMTU(f, size)
		}
	}
	return f
}

func judgeMTU(f Finding, size int) Finding {
	value := fmt.Sprint(size)
	if size >= minMTU {
		return f.conclude(OK, value,
			fmt.Sprintf("packets of %d bytes get through both ways, and Peephole needs %d", size, minMTU))
	}
	return f.conclude(Bad, value, fmt.Sprintf("packets larger than %d bytes are lost, and Peephole needs %d: "+
		"set the MTU of the tunnel or VPN in between to %d or more", size, minMTU, minMTU))
}
