package turn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/turn/xdp"
)

// openAt allocates at a relay for a payer from an address, and says whether it may.
func openAt(t *testing.T, r *relay, session, payer byte, client string) (*allocation, error) {
	t.Helper()
	u := username{session: sessionID{session}, role: camera, payer: payerID{payer}}
	if err := r.room(u, netip.MustParseAddr(client)); err != nil {
		return nil, err
	}
	a, err := r.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	at := netip.AddrPortFrom(netip.MustParseAddr(client), uint16(a.host))
	return a, r.bind(a, binding{to: at, user: u})
}

// TestLimitsOfAllocations: what one payer or one address has too many of is refused, nobody else's is, and what ends is free again.
func TestLimitsOfAllocations(t *testing.T) {
	const most = 3
	for name, row := range map[string]struct {
		limits      Limits
		payer       byte
		client      string
		bound       bool
		free        byte
		freeAddress string
	}{
		"payer":            {Limits{PayerAllocations: most}, 1, "192.0.2.1", true, 2, "192.0.2.1"},
		"nobody pays":      {Limits{PayerAllocations: most}, 0, "192.0.2.1", false, 0, ""},
		"address":          {Limits{ClientAllocations: most}, 0, "192.0.2.1", true, 0, "192.0.2.2"},
		"IPv6 household":   {Limits{ClientAllocations: most}, 0, "2001:db8::1", true, 0, "2001:db8:0:1::1"},
		"loopback":         {Limits{ClientAllocations: most}, 0, "127.0.0.1", false, 0, ""},
		"no limits at all": {Limits{}, 1, "192.0.2.1", false, 0, ""},
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
				t.Errorf("one too many: %v", err)
			}
			if !row.bound {
				return
			}
			if _, err := openAt(t, r, 11, row.free, row.freeAddress); err != nil {
				t.Errorf("somebody else: %v", err)
			}
			first.Close()
			if _, err := openAt(t, r, 12, row.payer, row.client); err != nil {
				t.Errorf("in a place that is free again: %v", err)
			}
		})
	}
}

// TestLimitsAreForgotten: nothing is kept of who has nothing.
func TestLimitsAreForgotten(t *testing.T) {
	var n counters
	r := newRelay(Config{Limits: Limits{PayerAllocations: 1}}.withDefaults(), &n)
	a, err := openAt(t, r, 1, 1, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.shares.payers) != 1 || len(r.shares.clients) != 1 {
		t.Errorf("%d payers, %d addresses", len(r.shares.payers), len(r.shares.clients))
	}
	a.Close()
	if len(r.shares.payers) != 0 || len(r.shares.clients) != 0 {
		t.Errorf("%d payers, %d addresses are left", len(r.shares.payers), len(r.shares.clients))
	}
}

// TestRatesSurviveAllocations: who ends its last allocation and makes another has no other second's worth at once, and is forgotten
// when it would have that anyhow.
func TestRatesSurviveAllocations(t *testing.T) {
	const rate = 10_000
	for name, limits := range map[string]Limits{"payer": {PayerRate: rate}, "address": {ClientRate: rate}} {
		t.Run(name, func(t *testing.T) {
			var n counters
			r := newRelay(Config{Limits: limits}.withDefaults(), &n)
			r.start = time.Now().Add(-time.Hour)
			use := func(session byte) (passed bool, a *allocation) {
				a, err := openAt(t, r, session, 1, "192.0.2.1")
				if err != nil {
					t.Fatal(err)
				}
				return r.affords(a, a.bound.Load(), rate, 2*time.Hour), a
			}
			first, a := use(1)
			a.Close()
			second, b := use(2)
			b.Close()
			if !first || second {
				t.Errorf("the first second's worth passed: %v, and another at once: %v", first, second)
			}
			r.start = r.start.Add(-2 * time.Hour)
			c, err := openAt(t, r, 3, 2, "192.0.2.2")
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if left := len(r.shares.payers) + len(r.shares.clients); left != 0 {
				t.Errorf("%d are remembered of who has nothing", left)
			}
		})
	}
}

// TestPayersOfSessions: a real client of a payer that has what it may have is answered 486, and another payer's is not.
func TestPayersOfSessions(t *testing.T) {
	s := serve(t, Config{Limits: Limits{PayerAllocations: 1}})
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

// TestRates: each limit alone lets pass what it says, counts what it drops, and binds whom it is for.
func TestRates(t *testing.T) {
	const rate, size = 10_000, 1000
	for name, row := range map[string]struct {
		limits  Limits
		payer   byte
		client  string
		another int // packets that pass, of another payer at another address, once the first is at its limit
	}{
		"allocation": {Limits{AllocationRate: rate}, 1, "192.0.2.9", rate / size},
		"payer":      {Limits{PayerRate: rate}, 2, "192.0.2.1", rate / size},
		"address":    {Limits{ClientRate: rate}, 1, "192.0.2.9", rate / size},
		"server":     {Limits{ServerRate: rate}, 2, "192.0.2.9", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var n counters
			r := newRelay(Config{Limits: row.limits}.withDefaults(), &n)
			passed := func(a *allocation) (n int) {
				for range 5 * rate / size {
					if r.affords(a, a.bound.Load(), size, time.Minute) {
						n++
					}
				}
				return n
			}
			first, err := openAt(t, r, 1, 1, "192.0.2.1")
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

// TestRateOnTheWay: a real client that sends more than it may loses it, counted, and nothing else.
func TestRateOnTheWay(t *testing.T) {
	s := serve(t, Config{Limits: Limits{AllocationRate: xdp.Headers + 1}}) // a byte, and not two: no clock can change that
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

// TestEmptyPacketsCost: what has no payload is limited too, by channel and by indication.
func TestEmptyPacketsCost(t *testing.T) {
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
				t.Errorf("%d bytes a second, by channel %v: %d passed, %d dropped", rate, byChannel, n.Packets, n.Drops["rate"])
			}
		}
	}
}
