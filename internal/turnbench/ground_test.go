//go:build linux

package turnbench

import (
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peephole-cam/peephole/internal/natlab"
)

// A ground is the network between the load and the servers.
type ground struct {
	name         string
	load, server *natlab.End
	first        netip.Addr // of the clients
	express      *ground    // another like it, for servers with XDP: a program that is attached concerns all that passes; nil: no device for one
}

// loopback is a namespace with nothing else in it: packets cross in pieces as large as they were sent (GSO).
func loopback(t testing.TB, _ cores) ground {
	e := natlab.Alone(t)
	return ground{name: "loopback", load: e, server: e, first: netip.MustParseAddr("127.64.0.0")}
}

// veth is two namespaces joined by a cable, on which packets go one by one, each end receiving on its own side's core; and two more.
func veth(t testing.TB, c cores) ground {
	g, express := cable(t, c), cable(t, c)
	express.load.Express(t)
	g.express = &express
	return g
}

func cable(t testing.TB, c cores) ground {
	load, server := natlab.Cable(t)
	if err := load.Hold(netip.MustParsePrefix("10.64.0.0/12"), server); err != nil {
		t.Fatal(err)
	}
	pin(t, load.NAPI, c.load)
	for _, thread := range []int{load.NAPI, server.NAPI} { // before any program, as an interrupt is
		if err := unix.Setpriority(unix.PRIO_PROCESS, thread, -20); err != nil {
			t.Fatal(err)
		}
	}
	pin(t, os.Getpid(), c.load)
	return ground{name: "veth", load: load, server: server, first: netip.MustParseAddr("10.64.0.0")}
}
