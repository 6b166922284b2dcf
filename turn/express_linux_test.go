package turn

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/internal/natlab"
	"github.com/peephole-cam/peephole/turn/xdp"
)

func init() {
	if express {
		settle = settleOnCable
	}
}

// settleOnCable puts a server at one end of a cable, with XDP attached there, and its clients at the other.
func settleOnCable(t testing.TB, c *Config) *ground {
	t.Helper()
	left, right := natlab.Cable(t)
	left.Express(t)
	c.XDP = right.Device
	local := func(address *string) {
		if *address == "" || strings.HasPrefix(*address, "127.0.0.1:") {
			*address = netip.AddrPortFrom(right.Addr, 0).String()
		}
	}
	local(&c.Address)
	if c.TLSAddress != "" {
		local(&c.TLSAddress)
	}
	return &ground{server: right.Do, clients: left.Do}
}

// TestWithXDP runs the tests of what is relayed once more in a process of its own, with the kernel forwarding what it can.
func TestWithXDP(t *testing.T) {
	natlab.Need(t)
	if express {
		return
	}
	tests := []string{
		"TestRelay", "TestReload", "TestStreamEnds", "TestExpires", "TestForbiddenPeers", "TestGateAlone", "TestOrder", "TestSlowClient",
		"TestPermissionExpires", "TestChannelRebind", "TestAllocationRefresh", "TestRateOnTheWay", "TestPayersOfSessions", "TestDrain",
		"TestMalformed", "TestNoMobility", "TestBadCredentials", "TestRotationWhileServing", "TestRefreshCap",
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^("+strings.Join(tests, "|")+")$", "-test.v", "-test.timeout", "5m")
	cmd.Env = append(os.Environ(), expressly+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, name := range tests {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s did not run, or failed", name)
		}
	}
}

// TestExpress: channels that both ends have bound are forwarded by the kernel and counted as all others are; everything else, and
// what a channel's end leaves, is the workers'.
func TestExpress(t *testing.T) {
	natlab.Need(t)
	c := Config{Limits: Limits{AllocationRate: 1 << 30, PayerRate: 1 << 30, ClientRate: 1 << 30, ServerRate: 1 << 30}}
	g := settleOnCable(t, &c)
	before := settle
	settle = func(_ testing.TB, into *Config) *ground { into.Address, into.XDP = c.Address, c.XDP; return g }
	t.Cleanup(func() { settle = before })
	s := serve(t, c)
	cam, view := pair(t, s, "udp", "udp")
	if a, b := cam.permit(peerAt(view.relayed)), view.permit(peerAt(cam.relayed)); a+b != 0 {
		t.Fatal(a, b)
	}
	exchange := func(what string, by uint64) {
		t.Helper()
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
			t.Errorf("%s: %d packets by the kernel, want %d; %d bytes", what, n.Kernel-was.Kernel, by, n.Bytes-was.Bytes)
		}
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
	// The first of each end shows where it is: one came when there was no route yet.
	cam.sendChannel(0x4000, "here I am")
	view.receive()
	view.sendChannel(0x4000, "and I here")
	cam.receive()
	first := s.Stats().Kernel
	exchange("by the kernel", 2)
	cam.send(peerAt(view.relayed), "indicated")
	if got := view.receive(); got.data != "indicated" || got.channel != 0x4000 {
		t.Errorf("%+v", got)
	}
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
	if len(k.paces) == 0 {
		t.Error("the viewer has no limits any more")
	}
}

// TestKernelForgets: whatever order ends and channels come and go in, the kernel has a route exactly while the workers would let the
// packet pass, and nothing is left when all have gone.
func TestKernelForgets(t *testing.T) {
	var n counters
	r := newRelay(Config{Limits: Limits{AllocationRate: 1, PayerRate: 1, ClientRate: 1, ServerRate: 1}}.withDefaults(), &n)
	f := &forwarders{routes: make(map[xdp.Channel]xdp.Route), clients: make(map[xdp.Client]bool), paces: make(map[xdp.Pace]bool)}
	r.kernel = newKernel(f, netip.MustParseAddr("192.0.2.254"), r.limits, Config{}.withDefaults().Logger)
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 9)
	}
	open := func(i int, end role) *allocation {
		a, err := r.open()
		if err != nil {
			t.Fatal(err)
		}
		u := username{role: end, session: sessionID{1}, payer: payerID{1}}
		if err := r.bind(a, binding{to: at(i), user: u}); err != nil {
			t.Fatal(err)
		}
		return a
	}
	cam, one, two := open(1, camera), open(2, viewer), open(3, viewer)
	want := func(when string, ways ...[2]int) {
		t.Helper()
		if len(f.routes) != len(ways) {
			t.Errorf("%s: %d routes, want %d", when, len(f.routes), len(ways))
		}
		for _, w := range ways {
			found := false
			for c, to := range f.routes {
				found = found || c.Client == at(w[0]) && to.To.Client == at(w[1]) && len(to.Paces) == 4
			}
			if !found {
				t.Errorf("%s: no route from %d to %d", when, w[0], w[1])
			}
		}
	}
	cam.open(one.host, 0x4001)
	want("one end's channel")
	one.permit(cam.host, true)
	want("the other's permission")
	one.open(cam.host, 0x4101)
	want("both ends' channels", [2]int{1, 2}, [2]int{2, 1})
	cam.open(two.host, 0x4002)
	two.open(cam.host, 0x4102)
	want("two viewers", [2]int{1, 2}, [2]int{2, 1}, [2]int{1, 3}, [2]int{3, 1})
	one.shut(0x4101)
	want("a channel's end", [2]int{1, 3}, [2]int{3, 1})
	one.open(cam.host, 0x4103)
	want("a new one", [2]int{1, 2}, [2]int{2, 1}, [2]int{1, 3}, [2]int{3, 1})
	two.Close()
	want("a viewer's end", [2]int{1, 2}, [2]int{2, 1})
	f.full = true
	three := open(4, viewer)
	cam.open(three.host, 0x4004)
	three.open(cam.host, 0x4104)
	want("no room for a third", [2]int{1, 2}, [2]int{2, 1})
	f.full = false
	cam.Close()
	want("the camera's end")
	one.Close()
	three.Close()
	if len(f.clients)+len(f.paces)+len(r.kernel.paces) != 0 {
		t.Errorf("left behind: %v, %v, %v", f.clients, f.paces, r.kernel.paces)
	}
}

// forwarders is the kernel's side as maps. It fails the test's promises by panicking, as the real one would by forwarding wrongly.
type forwarders struct {
	full    bool
	last    uint32
	routes  map[xdp.Channel]xdp.Route
	clients map[xdp.Client]bool
	paces   map[xdp.Pace]bool
}

func (f *forwarders) number() (uint32, error) {
	if f.full {
		return 0, xdp.ErrFull
	}
	f.last++
	return f.last, nil
}

func (f *forwarders) AddClient() (xdp.Client, error) {
	n, err := f.number()
	if err == nil {
		f.clients[xdp.Client(n)] = true
	}
	return xdp.Client(n), err
}

func (f *forwarders) RemoveClient(c xdp.Client) error {
	for _, r := range f.routes {
		if r.Sender == c || r.Receiver == c {
			panic("a client is removed that a route names")
		}
	}
	delete(f.clients, c)
	return nil
}

func (f *forwarders) AddPace(int64) (xdp.Pace, error) {
	n, err := f.number()
	if err == nil {
		f.paces[xdp.Pace(n)] = true
	}
	return xdp.Pace(n), err
}

func (f *forwarders) RemovePace(p xdp.Pace) { delete(f.paces, p) }

func (f *forwarders) Set(c xdp.Channel, r xdp.Route) error {
	if !f.clients[r.Sender] || !f.clients[r.Receiver] {
		panic("a route names a client that is not there")
	}
	for _, p := range r.Paces {
		if !f.paces[p] {
			panic("a route names a limit that is not there")
		}
	}
	f.routes[c] = r
	return nil
}

func (f *forwarders) Delete(c xdp.Channel) error  { delete(f.routes, c); return nil }
func (f *forwarders) Counts() (xdp.Counts, error) { return xdp.Counts{}, nil }
func (f *forwarders) Close() error                { return nil }

// TestXDPNowhere: an interface that is not there, or that cannot, is a reason not to start.
func TestXDPNowhere(t *testing.T) {
	for _, name := range []string{"nowhere0", "lo"} {
		s, err := New(Config{Address: "127.0.0.1:0", Keys: newKeys(t), XDP: name})
		if err == nil {
			s.Close()
			t.Errorf("a server with XDP at %s", name)
		}
	}
}
