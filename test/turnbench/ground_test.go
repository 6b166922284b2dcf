//go:build linux

package turnbench

import (
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peephole-cam/peephole/test/natlab"
)

// A ground is the network between the load and the servers.
type ground struct {
	name         string
	load, server *natlab.End
	first        netip.Addr // of the clients

	// forXDP is another ground like it for servers with XDP, since an attached program handles every packet that
	// passes. It is nil if there is no device for XDP.
	forXDP *ground
}

// loopback returns a namespace with nothing else in it: packets cross in pieces as large as they were sent (GSO).
func loopback(t testing.TB, _ cores) ground {
	e := natlab.Alone(t)
	return ground{name: "loopback", load: e, server: e, first: netip.MustParseAddr("127.64.0.0")}
}

// veth returns two namespaces joined by a cable, on which packets go one by one and each end receives on its own side's
// core. Its forXDP has two more.
func veth(t testing.TB, c cores) ground {
	g, second := cable(t, c), cable(t, c)
	second.load.Express(t)
	g.forXDP = &second
	return g
}

func cable(t testing.TB, c cores) ground {
	load, server := natlab.Cable(t)
	if err := load.Hold(netip.MustParsePrefix("10.64.0.0/12"), server); err != nil {
		t.Fatal(err)
	}
	pin(t, load.NAPI, c.load)
	for _, thread := range []int{load.NAPI, server.NAPI} { // they run before any program, as an interrupt does
		if err := unix.Setpriority(unix.PRIO_PROCESS, thread, -20); err != nil {
			t.Fatal(err)
		}
	}

	pin(t, os.Getpid(), c.load)
	return ground{name: "veth", load: load, server: server, first: netip.MustParseAddr("10.64.0.0")}
}
