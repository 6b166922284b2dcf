package turn

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// TestAnswersComeToNoMoreThanRequests: answers to an address that has not shown a password come to no more bytes than
// its requests, except for a first burst and a trickle.
func TestAnswersComeToNoMoreThanRequests(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	c := newAmplificationLimit(start)
	victim := netip.MustParseAddr("192.0.2.7")
	flood := func(n, request, answer int, now time.Time) (received, answered int) {
		for range n {
			received += request
			if c.spend(victim, request, answer, now) {
				answered += answer
			}
		}
		return received, answered
	}

	received, answered := flood(10_000, 28, 90, start)
	if answered > received+amplificationBurst || answered < received-90 {
		t.Errorf("%d bytes were answered to %d", answered, received)
	}
	if _, answered := flood(50, 20, 1000, start); answered > 1000 {
		t.Errorf("%d bytes in large answers", answered)
	}

	later := start.Add(time.Minute)
	received, answered = flood(1000, 1, 100, later)
	most := received + amplificationBurst + 60*amplificationRate
	if answered > most || answered < amplificationBurst-100 {
		t.Errorf("a minute later %d bytes were answered to %d", answered, received)
	}

	if !c.spend(netip.MustParseAddr("2001:db8::1"), 28, 90, start) {
		t.Error("another address is not answered")
	}
	if !c.spend(victim, 28, 28, start) {
		t.Error("after the clock was set back, an answer no longer than its request is refused")
	}
}

// TestAmplificationLimitRefillsEverySecond: asking all the time gives neither more nor less than asking once a minute.
func TestAmplificationLimitRefillsEverySecond(t *testing.T) {
	const seconds, answer = 60, 100
	start := time.Unix(1_800_000_000, 0)
	c := newAmplificationLimit(start)
	victim := netip.MustParseAddr("192.0.2.7")
	answered := 0
	for second := range seconds + 1 {
		for range 100 {
			if c.spend(victim, 0, answer, start.Add(time.Duration(second)*time.Second)) {
				answered += answer
			}
		}
	}

	if most := amplificationBurst + seconds*amplificationRate; answered > most || answered <= most-answer {
		t.Errorf("%d bytes were answered in %d seconds, want just below %d", answered, seconds, most)
	}
}

// TestFloodIsDroppedEarly: once an address has used up its limit, its requests without credentials no longer reach
// pion. Its requests with credentials still do, and so do those of another address.
func TestFloodIsDroppedEarly(t *testing.T) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	d := newDatagrams(nil, r, "peephole", newAmplificationLimit(time.Now().Add(-time.Hour)))
	victim, other := netip.MustParseAddrPort("192.0.2.7:9"), netip.MustParseAddrPort("192.0.2.8:9")
	if !d.amplification.spend(victim.Addr(), 0, amplificationBurst, time.Now()) {
		t.Fatal("the first burst is refused")
	}

	key := stun.NewLongTermIntegrity("user", "peephole", "password")
	for name, row := range map[string]struct {
		from    netip.AddrPort
		setters []stun.Setter
		up      int
	}{
		"allocate": {victim,
			[]stun.Setter{stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP}, 0},
		"binding": {victim, []stun.Setter{stun.BindingRequest}, 0},
		"allocate, with credentials": {victim,
			[]stun.Setter{stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP, key}, 1},
		"allocate, from another address": {other,
			[]stun.Setter{stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP}, 1},
	} {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID}, row.setters...)...)
		if err != nil {
			t.Fatal(err)
		}
		d.handUp(nil, m.Raw, row.from, netip.Addr{}, new(kept))
		if got := len(d.strangers); got != row.up {
			t.Errorf("%s: %d requests went up, want %d", name, got, row.up)
		}

		for len(d.strangers) > 0 {
			<-d.strangers
		}
	}

	if got := n.snapshot().Drops["unproved"]; got != 2 {
		t.Errorf("%d were counted", got)
	}
}

// BenchmarkFlood measures the time that a datagram takes in this process, without the kernel's share: for packets that
// are relayed, and for those of a client that only wants to be a burden.
func BenchmarkFlood(b *testing.B) {
	var n counters
	r := newRelay(Config{}.withDefaults(), &n)
	d := newDatagrams(nil, r, "peephole", newAmplificationLimit(time.Now()))
	cam, view := bound(b, r, 1, camera), bound(b, r, 1, viewer)
	cam.addChannel(view.host, 0x4000)
	view.addChannel(cam.host, 0x4000)
	stranger := netip.MustParseAddrPort("192.0.2.7:9")
	d.amplification.spend(stranger.Addr(), 0, amplificationBurst, time.Now().Add(time.Hour))
	request, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP)
	if err != nil {
		b.Fatal(err)
	}

	data := append([]byte{0x40, 0, 0x04, 0xb0}, make([]byte, 1200)...)
	for _, row := range []struct {
		name string
		from netip.AddrPort
		p    []byte
	}{
		{"relayed", cam.bound.Load().client(), data},
		{"channel of nobody", stranger, data},
		{"channel that is not bound", cam.bound.Load().client(),
			append([]byte{0x41, 0, 0x04, 0xb0}, make([]byte, 1200)...)},
		{"length beyond the end", cam.bound.Load().client(), data[:1000]},
		{"noise", stranger, append([]byte{0xff}, data[1:]...)},
		{"half of STUN", stranger, request.Raw[:20]},
		{"request without credentials", stranger, request.Raw},
	} {
		b.Run(row.name, func(b *testing.B) {
			out := &kept{}
			in := ingress{relay: r, requests: d, out: out}
			for b.Loop() {
				in.receive(row.p, len(row.p), row.from, netip.Addr{})
				out.packets = out.packets[:0]
			}
		})
	}
}

// TestHouseholdHasOneLimit: an IPv6 household has one limit, however many addresses it has, and a mapped address counts
// as the address itself.
func TestHouseholdHasOneLimit(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		name, first, second string
		shared              bool
	}{
		{"one /64", "2001:db8::1", "2001:db8::ffff:1", true},
		{"two /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"mapped", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"neighbours", "192.0.2.1", "192.0.2.2", false},
		{"this machine's", "127.0.0.1", "127.0.0.2", false},
		{"zone", "fe80::1%eth0", "fe80::2%eth1", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newAmplificationLimit(now)
			if !c.spend(netip.MustParseAddr(tt.first), 0, amplificationBurst, now) {
				t.Fatal("the first burst is refused")
			}
			if got := !c.spend(netip.MustParseAddr(tt.second), 0, 1, now); got != tt.shared {
				t.Errorf("shared: %v", got)
			}
		})
	}
}

// TestConcurrentSpendingIsCounted: what many goroutines spend at once is counted exactly.
func TestConcurrentSpendingIsCounted(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := newAmplificationLimit(now)
	var paid [8]int
	var spending sync.WaitGroup
	for i := range paid {
		spending.Go(func() {
			for range 1000 {
				if c.spend(netip.IPv6Loopback(), 0, 1, now) {
					paid[i]++
				}
			}
		})
	}

	spending.Wait()
	sum := 0
	for _, n := range paid {
		sum += n
	}

	if sum != amplificationBurst {
		t.Errorf("%d bytes, want %d", sum, amplificationBurst)
	}
}

func BenchmarkAmplificationLimit(b *testing.B) {
	now := time.Now()
	c := newAmplificationLimit(now)
	from := netip.MustParseAddr("2001:db8::1")
	for b.Loop() {
		c.spend(from, 28, 90, now)
	}
}

// TestNoAmplifier: requests from a forged address make the server send that address hardly more than was sent in its
// name. Such requests need no credentials, so nobody is owed an answer. Credentials prove the address, and then every
// request is answered.
func TestNoAmplifier(t *testing.T) {
	allocate, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP)
	if err != nil {
		t.Fatal(err)
	}
	binding, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		t.Fatal(err)
	}

	for name, row := range map[string]struct {
		request *stun.Message
		at      func(Addresses) netip.AddrPort
	}{
		"allocate":                {allocate, func(a Addresses) netip.AddrPort { return a.UDP }},
		"binding":                 {binding, func(a Addresses) netip.AddrPort { return a.UDP }},
		"binding, at second port": {binding, func(a Addresses) netip.AddrPort { return a.Binding }},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Config{BindingAddress: "127.0.0.1:0"})
			victim, started := sink(t), time.Now()
			sent, answered := 0, 0
			p := make([]byte, maxMessage)
			read := func(wait time.Duration) bool {
				victim.SetReadDeadline(time.Now().Add(wait))
				n, err := victim.Read(p)
				answered += n
				return err == nil
			}

			for range 2000 {
				n, err := victim.WriteToUDPAddrPort(row.request.Raw, row.at(s.Addresses()))
				if err != nil {
					t.Fatal(err)
				}
				sent += n
				read(time.Millisecond)
			}

			for read(100 * time.Millisecond) {
			}
			most := sent + amplificationBurst + amplificationRate*(int(time.Since(started)/time.Second)+1)
			if answered > most || answered == 0 {
				t.Errorf("%d bytes were sent and %d answered, which should be %d at most", sent, answered, most)
			}

			if name == "allocate" && s.Stats().Drops["unproved"] == 0 {
				t.Error("no answer was held back, so this test shows nothing")
			}
			g := grant(t, s.config.Keys)

			// the challenge is not withheld from who has proved the address by connecting
			c := dial(t, s, "tcp", g.Camera)
			if code := c.allocate(); code != 0 {
				t.Errorf("allocate: %d", code)
			}
		})
	}
}
