package turn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/netlimit"
	"github.com/peephole-cam/peephole/turn/xdp"
)

// openAt makes an allocation for a payer from an address, or returns why it may not.
func openAt(t *testing.T, r *relay, session, payer byte, client string) (*allocation, error) {
	t.Helper()
	u := username{session: sessionID{session}, role: camera, payer: payerID{payer}}
	if err := r.checkRoom(u, nil); err != nil {
		return nil, err
	}
	lease, err := r.pools.lease(u, nil, netip.MustParseAddr(client))
	if err != nil {
		return nil, err
	}

	a, err := r.newAllocation()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	at := netip.AddrPortFrom(netip.MustParseAddr(client), uint16(a.host))
	return a, r.bind(a, binding{to: at, user: u, lease: lease})
}

// TestLimitsOfAllocations: a payer or an address that has too many allocations is refused more, but nobody else is. An
// allocation that ends makes room.
func TestLimitsOfAllocations(t *testing.T) {
	const most = 3
	of := netlimit.Share{Max: most}
	each := netlimit.Config{Size: 1 << 20, IPv4: of, Host: of, Named: of}
	for name, row := range map[string]struct {
		limits      Limits
		payer       byte
		client      string
		bound       bool
		free        byte
		freeAddress string
	}{
		"payer":               {Limits{Payers: each}, 1, "192.0.2.1", true, 2, "192.0.2.1"},
		"nobody pays":         {Limits{Payers: each}, 0, "192.0.2.1", false, 0, ""},
		"address":             {Limits{Addresses: each}, 0, "192.0.2.1", true, 0, "192.0.2.2"},
		"payer at an address": {Limits{Addresses: each}, 1, "192.0.2.1", false, 0, ""},
		"IPv6 household":      {Limits{Addresses: each}, 0, "2001:db8::1", true, 0, "2001:db8:0:1::1"},
		"loopback":            {Limits{Addresses: each}, 0, "127.0.0.1", true, 0, "127.0.0.2"},
		"unlimited loopback":  {Limits{Addresses: each, LoopbackUnlimited: true}, 0, "127.0.0.1", false, 0, ""},
		"unlimited others":    {Limits{Addresses: each, LoopbackUnlimited: true}, 0, "192.0.2.1", true, 0, "192.0.2.2"},
		"no limits at all":    {Limits{}, 1, "192.0.2.1", false, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var n counters
			r := newRelay(Config{Limits: row.limits}.withDefaults(), &n)
			var first *allocation
			for i := range byte(most) {
				a, err := openAt(t, r, i, row.payer, row.client)
				if err != nil {
					t.Fatal(err)
				}
				first = a
			}

			if _, err := openAt(t, r, 10, row.payer, row.client); (err == errQuota) != row.bound {
				t.Errorf("one allocation too many: %v", err)
			}
			if !row.bound {
				return
			}

			if _, err := openAt(t, r, 11, row.free, row.freeAddress); err != nil {
				t.Errorf("allocate for somebody else: %v", err)
			}
			first.Close()
			if _, err := openAt(t, r, 12, row.payer, row.client); err != nil {
				t.Errorf("allocate in a place that is free again: %v", err)
			}
		})
	}
}

// TestLimitsAreForgotten: nothing is remembered of payers and addresses that have no allocations.
func TestLimitsAreForgotten(t *testing.T) {
	var n counters
	r := newRelay(Config{Limits: Limits{Payers: netlimit.Config{Size: 1 << 20},
		Addresses: netlimit.Config{Size: 1 << 20}}}.withDefaults(), &n)
	paid, err := openAt(t, r, 1, 1, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}

	own, err := openAt(t, r, 2, 0, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.shares.payers) != 1 || len(r.shares.clients) != 1 || r.pools.payers.Payers() != 1 ||
		r.pools.addresses.Payers() != 1 {
		t.Errorf("%d payers, %d addresses", len(r.shares.payers), len(r.shares.clients))
	}

	paid.Close()
	own.Close()
	if left := len(r.shares.payers) + len(r.shares.clients) + r.pools.payers.Payers() +
		r.pools.addresses.Payers(); left != 0 {
		t.Errorf("%d payers and addresses are left", left)
	}
}

// TestRatesSurviveAllocations: ending the last allocation and making another does not give a payer or an address a
// second burst. It is forgotten only when it could have that burst anyhow.
func TestRatesSurviveAllocations(t *testing.T) {
	const rate = 10_000
	for name, row := range map[string]struct {
		limits Limits
		payer  byte
	}{"payer": {Limits{PayerRate: rate}, 1}, "address": {Limits{ClientRate: rate}, 0}} {
		t.Run(name, func(t *testing.T) {
			var n counters
			r := newRelay(Config{Limits: row.limits}.withDefaults(), &n)
			r.start = time.Now().Add(-time.Hour)
			use := func(session byte) (passed bool, a *allocation) {
				a, err := openAt(t, r, session, row.payer, "192.0.2.1")
				if err != nil {
					t.Fatal(err)
				}
				return r.withinRates(a, a.bound.Load(), rate, 2*time.Hour), a
			}

			first, a := use(1)
			a.Close()
			second, b := use(2)
			b.Close()
			if !first || second {
				t.Errorf("the first burst passed: %v, and another at once: %v", first, second)
			}

			r.start = r.start.Add(-2 * time.Hour)
			c, err := openAt(t, r, 3, 2*row.payer, "192.0.2.2")
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if left := len(r.shares.payers) + len(r.shares.clients); left != 0 {
				t.Errorf("%d payers and addresses are remembered", left)
			}
		})
	}
}

// TestPayerBeyondItsLimitGets486: a real client of a payer at its limit gets 486; another payer's does not.
func TestPayerBeyondItsLimitGets486(t *testing.T) {
	s := serve(t, Config{Limits: Limits{Payers: netlimit.Config{Size: 1 << 20, Named: netlimit.Share{Max: 1}}}})
	for _, row := range []struct {
		payer string
		code  int
	}{{"ticket 1", 0}, {"ticket 1", 486}, {"ticket 2", 0}, {"", 0}, {"", 0}} {
		g, err := s.config.Keys.Grant(row.payer, time.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if code := dial(t, s, "udp", g.Camera).allocate(); code != row.code {
			t.Errorf("allocate for %q: %d, want %d", row.payer, code, row.code)
		}
	}
}

// TestEachRateBindsWhomItIsFor: each limit alone lets as much pass as it says, and binds only those that it is for.
func TestEachRateBindsWhomItIsFor(t *testing.T) {
	const rate, size = 10_000, 1000
	for name, row := range map[string]struct {
		limits  Limits
		first   byte // payer
		payer   byte
		client  string
		another int // packets of another payer or address that pass once the first is at its limit
	}{
		"allocation":           {Limits{AllocationRate: rate}, 1, 1, "192.0.2.9", rate / size},
		"payer":                {Limits{PayerRate: rate}, 1, 2, "192.0.2.1", rate / size},
		"address":              {Limits{ClientRate: rate}, 0, 0, "192.0.2.9", rate / size},
		"payer at the address": {Limits{ClientRate: rate}, 0, 1, "192.0.2.1", 5 * rate / size},
		"server":               {Limits{ServerRate: rate}, 1, 2, "192.0.2.9", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var n counters
			r := newRelay(Config{Limits: row.limits}.withDefaults(), &n)
			passed := func(a *allocation) (n int) {
				for range 5 * rate / size {
					if r.withinRates(a, a.bound.Load(), size, time.Minute) {
						n++
					}
				}
				return n
			}

			first, err := openAt(t, r, 1, row.first, "192.0.2.1")
			if err != nil {
				t.Fatal(err)
			}
			other, err := openAt(t, r, 2, row.payer, row.client)
			if err != nil {
				t.Fatal(err)
			}

			if got := passed(first); got != rate/size {
				t.Errorf("%d packets passed, want %d", got, rate/size)
			}
			if got := passed(other); got != row.another {
				t.Errorf("%d packets of another passed, want %d", got, row.another)
			}
		})
	}
}

// TestPacketsBeyondTheRateAreLost: a real client that sends too much loses the excess, which is counted, and nothing
// else.
func TestPacketsBeyondTheRateAreLost(t *testing.T) {
	// a byte, and not two: no clock can change that
	s := serve(t, Config{Limits: Limits{AllocationRate: xdp.Headers + 1}})
	cam, view := pair(t, s, "udp", "udp")
	if code := view.permit(peerAt(cam.relayed)); code != 0 {
		t.Fatal(code)
	}
	if code := cam.permit(peerAt(view.relayed)); code != 0 {
		t.Fatal(code)
	}

	for _, data := range []string{"too long", "too long", "x"} {
		cam.send(peerAt(view.relayed), data)
	}
	if got := view.receive(); got.data != "x" {
		t.Errorf("%q passed", got.data)
	}

	await(t, func() bool { return s.Stats().Packets == 1 }) // a packet may arrive before it is counted
	if n := s.Stats(); n.Drops["rate"] != 2 {
		t.Errorf("%d dropped", n.Drops["rate"])
	}
}

// TestEmptyPacketsAreLimitedToo: packets without payload are limited too, by channel and by indication.
func TestEmptyPacketsAreLimitedToo(t *testing.T) {
	for rate, passed := range map[int64]bool{xdp.Headers - 1: false, xdp.Headers: true} {
		for _, byChannel := range []bool{true, false} {
			s := serve(t, Config{Limits: Limits{AllocationRate: rate}})
			cam, view := pair(t, s, "udp", "udp")
			if a, b := cam.bind(0x4000, peerAt(view.relayed)), view.permit(peerAt(cam.relayed)); a+b != 0 {
				t.Fatal(a, b)
			}
			if byChannel {
				cam.sendChannel(0x4000, "")
			} else {
				cam.send(peerAt(view.relayed), "")
			}

			await(t, func() bool { return s.Stats().Packets+s.Stats().Drops["rate"] == 1 })
			if n := s.Stats(); (n.Packets == 1) != passed {
				t.Errorf("%d bytes a second, by channel %v: %d passed, %d dropped", rate, byChannel, n.Packets,
					n.Drops["rate"])
			}
		}
	}
}
