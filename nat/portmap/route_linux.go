package portmap

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/peephole-cam/peephole/nat"
)

// defaultRoute reads the kernel's routing table. It returns ErrNoRouter if this host has a public address.
func defaultRoute() (route, error) {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return route{}, fmt.Errorf("read routes: %w", err)
	}
	defer f.Close()

	gateway, err := parseRoutes(io.LimitReader(f, 1<<20))
	if err != nil {
		return route{}, fmt.Errorf("read routes: %w", err)
	}

	r, err := towards(gateway)
	if err == nil && !(nat.Private(r.gateway) && nat.Private(r.local)) {
		err = ErrNoRouter
	}
	return r, err
}

// parseRoutes returns the gateway of the default route with the lowest metric. A line holds: interface, destination,
// gateway, flags, reference count, use, metric, mask, …; addresses are hexadecimal and little-endian.
func parseRoutes(r io.Reader) (netip.Addr, error) {
	const up, viaGateway = 1, 2
	var best netip.Addr
	lowest := uint64(1 << 63)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}

		flags, err1 := strconv.ParseUint(f[3], 16, 32)
		metric, err2 := strconv.ParseUint(f[6], 10, 32)
		b, err3 := hex.DecodeString(f[2])
		if err1 != nil || err2 != nil || err3 != nil || len(b) != 4 {
			continue
		}
		if flags&(up|viaGateway) != up|viaGateway || metric >= lowest {
			continue
		}
		best, lowest = netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}), metric
	}

	if !best.IsValid() {
		return best, ErrNoRouter
	}
	return best, nil
}
