package turn

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/natlab"
	"github.com/peephole-cam/peephole/turn/xdp"
)

func init() {
	if withXDP {
		settle = settleOnCable
	}
}

// settleOnCable puts a server at one end of a cable, where it attaches XDP, and its clients at the other.
func settleOnCable(t testing.TB, c *Config) *ground {
	t.Helper()
	left, right := natlab.Cable(t)
	left.Express(t)
	c.XDP = right.Device
	if c.Address == "" || strings.HasPrefix(c.Address, "127.0.0.1:") {
		c.Address = netip.AddrPortFrom(right.Addr, 0).String()
	}

	return &ground{server: right.Do, clients: left.Do}
}

// TestWithXDP runs the tests of relaying once more, in a process of its own, with the kernel forwarding what it can.
func TestWithXDP(t *testing.T) {
	natlab.Need(t)
	if withXDP || testing.Short() && !bubble.RaceDetector { // make race is -short, and make test has no detector
		return
	}
	tests := []string{
		"TestPacketsReachTheOtherEnd",
		"TestReloadedEndIsReachedAtBothAddresses",
		"TestAllocationEndsWithItsConnection",
		"TestUnrefreshedAllocationEnds",
		"TestForbiddenPeers",
		"TestGateAloneLetsNothingThrough",
		"TestFlowsStayInOrder",
		"TestSlowClientDelaysNobody",
		"TestPermissionExpires",
		"TestChannelAndPeerAreBoundToEachOther",
		"TestAllocationEndsUnlessRefreshed",
		"TestPacketsBeyondTheRateAreLost",
		"TestEmptyPacketsAreLimitedToo",
		"TestPacketsFindTheirPortAtASharedIP",
		"TestPayerBeyondItsLimitGets486",
		"TestDrainKeepsLivingAllocations",
		"TestMalformedMessagesDoNoHarm",
		"TestMobilityIsNotOffered",
		"TestBadCredentialsAreRefused",
		"TestRotationEndsNothingThatLives",
		"TestRefreshEndsAtMaxLifetime",
	}

	cmd := exec.Command(os.Args[0], "-test.run", "^("+strings.Join(tests, "|")+")$", "-test.v", "-test.timeout", "15m")
	cmd.Env = append(os.Environ(), withXDPVariable+"=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := natlab.StartOutside(t.Cleanup, cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v:\n%s", err, out.Bytes())
	}

	for _, name := range tests {
		if !strings.Contains(out.String(), "--- PASS: "+name+" ") {
			t.Errorf("%s did not run, or failed", name)
		}
	}
}

// TestBoundChannelsAreForwardedByTheKernel: the kernel forwards channels that both ends have bound, and its packets are
// counted as all others are. Everything else stays with the workers, and so does what comes after a channel's end.
func TestBoundChannelsAreForwardedByTheKernel(t *testing.T) {
	natlab.Need(t)
	c := Config{Limits: Limits{AllocationRate: 1 << 30, PayerRate: 1 << 30, ClientRate: 1 << 30, ServerRate: 1 << 30}}
	g := settleOnCable(t, &c)
	before := settle
	settle = func(_ testing.TB, into *Config) *ground { into.Address, into.XDP = c.Address, c.XDP; return g }
	t.Cleanup(func() { settle = before })
	s := serve(t, c)
	cam, view := pair(t, s, "udp", "udp")
	permitBoth(cam, view)

	var arrived uint64 // packets that the server is to have counted; it counts after it has sent
	exchange := func(what string, by uint64) {
		t.Helper()
		await(t, func() bool { return s.Stats().Packets == arrived })
		was := s.Stats()
		for _, way := range [][2]*client{{cam, view}, {view, cam}} {
			way[0].sendChannel(0x4000, what)
			if got := way[1].receive(); got.data != what {
				t.Fatalf("%s: got %q", what, got.data)
			}
		}

		await(t, func() bool { return s.Stats().Packets == was.Packets+2 })
		n := s.Stats()
		if n.Kernel != was.Kernel+by || n.Bytes != was.Bytes+2*uint64(len(what)) {
			t.Errorf("%s: %d packets by the kernel, want %d; %d bytes", what, n.Kernel-was.Kernel, by,
				n.Bytes-was.Bytes)
		}
		arrived = n.Packets
	}

	if code := cam.bind(0x4000, peerAt(view.relayed)); code != 0 {
		t.Fatal(code)
	}
	cam.sendChannel(0x4000, "to who has no channel")
	if got := view.receive(); got.channel != 0 || s.Stats().Kernel != 0 {
		t.Errorf("%+v, %d by the kernel", got, s.Stats().Kernel)
	}

	if code := view.bind(0x4000, peerAt(cam.relayed)); code != 0 {
		t.Fatal(code)
	}

	// The kernel learns where an end is from its first packet on a route. The first above came before there was a
	// route.
	cam.sendChannel(0x4000, "here I am")
	view.receive()
	view.sendChannel(0x4000, "and I here")
	cam.receive()
	arrived = 3
	first := s.Stats().Kernel
	exchange("by the kernel", 2)
	cam.send(peerAt(view.relayed), "indicated")
	if got := view.receive(); got.data != "indicated" || got.channel != 0x4000 {
		t.Errorf("%+v", got)
	}
	arrived++

	if code := cam.bind(0x4000, peerAt(view.relayed)); code != 0 { // a refresh changes nothing
		t.Fatal(code)
	}
	exchange("still by the kernel", 2)
	in := s.relay.kernel.forwarder.(*xdp.Forwarder)
	if n, err := in.Counts(); err != nil || n.Packets != first+4 || n.Limited != 0 {
		t.Errorf("%+v, %v", n, err)
	}

	if code := cam.refresh(0); code != 0 {
		t.Fatal(code)
	}
	view.sendChannel(0x4000, "to nobody")
	view.fence()
	if n := s.Stats(); n.Kernel != first+4 || n.Drops["not_peer"] != 1 {
		t.Errorf("%+v", n)
	}

	k := s.relay.kernel
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	if len(k.buckets) == 0 {
		t.Error("the viewer's limits are gone from the kernel")
	}
}

// TestServerRefusesInterfaceWithoutXDP: a server does not start on an interface that does not exist or has no XDP.
func TestServerRefusesInterfaceWithoutXDP(t *testing.T) {
	for _, name := range []string{"nowhere0", "lo"} {
		s, err := New(Config{Address: "127.0.0.1:0", Keys: newKeys(t), XDP: name})
		if err == nil {
			s.Close()
			t.Errorf("a server started with XDP at %s", name)
		}
	}
}
