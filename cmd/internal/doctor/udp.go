package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/nat"
)

// udp is how far UDP gets to one relay.
type udp struct {
	*contact
	main, second map[string]netip.AddrPort // its UDP ports, by family: "4", "6"
	answers      map[string]nat.Binding    // of main
	seconds      map[string]nat.Binding    // of second
}

// unsaid is the text for a silent port that the relay did not name, or did not name in a way that can be trusted.
const unsaid = "nothing answers at the usual port, and the relay could not say whether it has another: " +
	"fix https and certificate first"

var families = []string{"4", "6"}

// askUDP sends a Binding request to each of a relay's UDP ports over both families, each from a socket of its own.
func (c *contact) askUDP(ctx context.Context) *udp {
	u := &udp{
		contact: c,
		main:    map[string]netip.AddrPort{},
		second:  map[string]netip.AddrPort{},
		answers: map[string]nat.Binding{},
		seconds: map[string]nat.Binding{},
	}
	for _, family := range families {
		if s, ok := findServer(c.servers, "turn", false); ok {
			u.main[family] = s.address(ctx, family)
		}
		if s, ok := findServer(c.servers, "stun", false); ok {
			u.second[family] = s.address(ctx, family)
		}
	}

	var mu sync.Mutex // guards answers and seconds
	var requests sync.WaitGroup
	ask := func(family string, server netip.AddrPort, into map[string]nat.Binding) {
		requests.Go(func() {
			b, err := bind(ctx, family, server)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			into[family] = b
		})
	}
	for _, family := range families {
		if at := u.main[family]; at.IsValid() {
			ask(family, at, u.answers)
		}
		if at := u.second[family]; at.IsValid() {
			ask(family, at, u.seconds)
		}
	}
	requests.Wait()
	return u
}

// bind sends a Binding request from a new socket.
func bind(ctx context.Context, family string, server netip.AddrPort) (nat.Binding, error) {
	s, err := nat.Listen("udp" + family)
	if err != nil {
		return nat.Binding{}, err
	}
	defer s.Close()

	return s.Bind(ctx, server)
}

// checkUDP tells whether UDP reaches the relay and comes back.
func (u *udp) checkUDP() Finding {
	f := Finding{Check: "udp", Relay: u.name}
	var over []string
	var took time.Duration
	for _, family := range families {
		if b, ok := u.answers[family]; ok {
			over, took = append(over, "IPv"+family), b.Took
		}
	}

	switch {
	case len(over) > 0:
		return f.conclude(OK, strings.ToLower(strings.Join(over, " ")), fmt.Sprintf(
			"it gets through, over %s, in %d ms", strings.Join(over, " and "), took.Milliseconds()))
	case u.mainPort() == 0:
		return f.conclude(Unknown, "", "the relay's UDP port is not known here")
	case !u.says:
		return f.conclude(Unknown, "", unsaid)
	}
	return f.conclude(Bad, "", fmt.Sprintf("no answer from port %d: let UDP out to it in the firewall, "+
		"or pictures take the slower path over TCP", u.mainPort()))
}

// mainPort returns the number of the relay's main UDP port, or 0 if it is not known.
func (u *udp) mainPort() uint16 {
	for _, family := range families {
		if u.main[family].IsValid() {
			return u.main[family].Port()
		}
	}
	return 0
}

// checkIPv6 tells whether IPv6 gets anywhere, for all relays together. here holds this machine's addresses.
func checkIPv6(all []*udp, here []netip.Addr) Finding {
	f := Finding{Check: "ipv6"}
	known, answers, answers4 := false, false, false
	for _, u := range all {
		known = known || u.main["6"].IsValid()
		_, six := u.answers["6"]
		_, four := u.answers["4"]
		answers, answers4 = answers || six, answers4 || four
	}
	own := slices.ContainsFunc(here, func(a netip.Addr) bool {
		return a.Is6() && a.IsGlobalUnicast() && !a.IsPrivate()
	})

	switch {
	case answers:
		return f.conclude(OK, "yes", "it gets through, and no NAT is in its way")
	case !own && answers4:
		return f.conclude(OK, "none", "this machine has no IPv6, but IPv4 works; "+
			"if your router offers IPv6, turn it on: no NAT is in its way")
	case !own:
		return f.conclude(OK, "none", "this machine has no IPv6")
	case known && !answers4:
		return f.conclude(Unknown, "unknown", "no UDP gets out of this network, over IPv6 or IPv4")
	case known:
		return f.conclude(Bad, "broken",
			"this machine has an IPv6 address, but gets no answer: repair IPv6 in the router, or turn it off")
	}
	return f.conclude(Unknown, "unknown", "none of these relays has an IPv6 address to test with")
}
