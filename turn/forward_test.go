package turn

import (
	"fmt"
	"net/netip"
	"testing"
)

// kept is an outlet that keeps what it is sent.
type kept struct {
	to      []*binding
	packets []packet
	first   [dataHeader]byte
}

func (k *kept) head() *[dataHeader]byte { return &k.first }
func (k *kept) send(to *binding, m packet) {
	k.to, k.packets = append(k.to[:0], to), append(k.packets, m)
}
func (k *kept) flush() {}

// bound makes an allocation for one end of a session.
func bound(t testing.TB, r *relay, session byte, end role) *allocation {
	t.Helper()
	a, err := r.newAllocation()
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.IPv6Loopback(), uint16(a.host))
	if err := r.bind(a, binding{to: at, user: username{role: end, session: sessionID{session}}}); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestGateCountsWhyItDrops: a packet that may not pass is counted for the right reason, whatever pion believes about
// permissions and channels. One that may pass goes to the one client that it is for.
func TestGateCountsWhyItDrops(t *testing.T) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	cam, view, second := bound(t, r, 1, camera), bound(t, r, 1, viewer), bound(t, r, 1, camera)
	stranger, unbound := bound(t, r, 2, viewer), (*allocation)(nil)
	unbound, err := r.newAllocation()
	if err != nil {
		t.Fatal(err)
	}

	var out kept
	drops := make(map[string]uint64)
	for i, row := range []struct {
		from, to *allocation
		asked    bool // the other end has asked for it
		reason   string
	}{
		{cam, view, true, ""},
		{cam, view, false, "no_permission"},
		{cam, stranger, true, "not_peer"},
		{stranger, cam, true, "not_peer"},
		{cam, second, true, "not_peer"},
		{cam, cam, true, "not_peer"},
		{cam, unbound, true, "not_peer"},
		{unbound, view, true, "unbound"},
		{nil, view, true, "no_allocation"},
	} {
		channel := uint16(0x4000 + i)
		if row.from != nil {
			row.from.addChannel(row.to.host, channel)
		}
		if row.from != nil && row.asked {
			row.to.addChannel(row.from.host, 0x7000)
		}

		out = kept{}
		if !r.forward(row.from, []byte{byte(channel >> 8), byte(channel), 0, 2, 'h', 'i'}, &out) {
			t.Errorf("row %d goes up to pion", i)
		}
		if row.reason != "" {
			drops[row.reason]++
		}

		passed := len(out.packets) == 1 && out.to[0] == row.to.bound.Load() &&
			string(out.packets[0].body) == "\x70\x00\x00\x02hi"
		if passed != (row.reason == "") || !passed && len(out.packets) > 0 {
			t.Errorf("row %d (%s): %+v", i, row.reason, out.packets)
		}

		if row.from != nil {
			row.from.removeChannel(channel)
			row.to.removeChannel(0x7000)
		}
	}

	for name, got := range n.snapshot().Drops {
		if got != drops[name] {
			t.Errorf("%d dropped for %s, want %d", got, name, drops[name])
		}
	}

	for _, a := range []*allocation{cam, view, second, stranger, unbound} {
		if len(a.currentRoutes()) != 0 {
			t.Errorf("routes left behind: %+v", a.currentRoutes())
		}
		if a.Close(); r.clients.lookup(netip.AddrPortFrom(netip.IPv6Loopback(), uint16(a.host))) != nil {
			t.Error("the table finds a closed allocation")
		}
	}

	if len(r.addresses)+r.bound+len(r.sessions) != 0 {
		t.Errorf("left behind: %v %v %v", r.addresses, r.bound, r.sessions)
	}
}

// TestRoutesComeAndGoIndependently: permissions and channels begin and end independently of each other.
func TestRoutesComeAndGoIndependently(t *testing.T) {
	var n counters
	a := bound(t, newRelay(Config{}.withDefaults(), &n), 1, camera)
	for i, step := range []struct {
		do   func()
		want routes
	}{
		{func() { a.setPermission(7, true) }, routes{{7, 0}}},
		{func() { a.setPermission(7, true) }, routes{{7, 0}}},
		{func() { a.addChannel(7, 0x4000) }, routes{{7, 0}, {7, 0x4000}}},
		{func() { a.setPermission(7, false) }, routes{{7, 0x4000}}},
		{func() { a.setPermission(9, true) }, routes{{7, 0x4000}, {9, 0}}},
		{func() { a.setPermission(7, true) }, routes{{7, 0x4000}, {9, 0}, {7, 0}}},
		{func() { a.removeChannel(0x4000) }, routes{{9, 0}, {7, 0}}},
		{func() { a.removeChannel(0x4000) }, routes{{9, 0}, {7, 0}}},
		{func() { a.setPermission(8, false) }, routes{{9, 0}, {7, 0}}},
		{func() { a.setPermission(7, false) }, routes{{9, 0}}},
		{func() { a.addChannel(0, 0x4001) }, routes{{9, 0}, {0, 0x4001}}},
		{func() { a.removeChannel(0x4001) }, routes{{9, 0}}},
		{func() { a.setPermission(9, false) }, routes{}},
	} {
		if step.do(); fmt.Sprint(a.currentRoutes()) != fmt.Sprint(step.want) {
			t.Fatalf("step %d: %+v, want %+v", i, a.currentRoutes(), step.want)
		}
	}
}

// TestClientTableFindsEveryClient: the table finds every client that it has, even where many share a bucket. For an
// address that is used again it finds the newer allocation.
func TestClientTableFindsEveryClient(t *testing.T) {
	table := newClientTable(2)
	at := func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i)) }
	var all []*allocation
	for i := range 40 {
		a := &allocation{host: uint32(i)}
		table.insert(a, at(i))
		all = append(all, a)
	}

	again := &allocation{}
	table.insert(again, netip.MustParseAddrPort("[::ffff:192.0.2.1]:8"))
	for i, a := range all {
		if i%3 == 0 {
			table.remove(a)
		}
	}

	table.remove(&allocation{})
	for i, a := range all {
		switch found := table.lookup(at(i)); {
		case i == 8 && found != again, i%3 == 0 && found != nil, i != 8 && i%3 != 0 && found != a:
			t.Errorf("client %d: %+v", i, found)
		}
	}

	table.remove(again)
	if table.lookup(at(8)) != all[8] {
		t.Error("the older allocation is not found")
	}
}
