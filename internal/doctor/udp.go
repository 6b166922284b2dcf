package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/internal/nat"
)

// udp is how far UDP gets to one relay.
type udp struct {
	*contact
	main, second map[string]netip.AddrPort // its UDP ports, by family: "4", "6"
	answers      map[string]nat.Binding    // of main
	seconds      map[string]nat.Binding    // of second
}

// unsaid is told of ports that a relay was not heard, or not believed, to have.
const unsaid = "nothing answers at the customary port, and the relay was not heard to have another: see https and certificate first"

var families = []string{"4", "6"}

// askUDP asks a relay's UDP ports, over both families, from a socket of their own.
func (c *contact) askUDP(ctx context.Context) *udp {
	u := &udp{contact: c, main: map[string]netip.AddrPort{}, second: map[string]netip.AddrPort{}, answers: map[string]nat.Binding{}, seconds: map[string]nat.Binding{}}
	for _, family := range families {
		if s, ok := find(c.servers, "turn", false); ok {
			u.main[family] = s.address(ctx, family)
		}
		if s, ok := find(c.servers, "stun", false); ok {
			u.second[family] = s.address(ctx, family)
		}
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	ask := func(family string, server netip.AddrPort, into map[string]nat.Binding) {
		if !server.IsValid() {
			return
		}
		asking.Go(func() {
			s, err := nat.Listen("udp" + family)
			if err != nil {
				return
			}
			defer s.Close()
			if b, err := s.Bind(ctx, server); err == nil {
				mu.Lock()
				defer mu.Unlock()
				into[family] = b
			}
		})
	}
	for _, family := range families {
		ask(family, u.main[family], u.answers)
		ask(family, u.second[family], u.seconds)
	}
	asking.Wait()
	return u
}

// reached says whether UDP gets to the relay and back.
func (u *udp) reached() Finding {
	f := Finding{Check: "udp", Relay: u.name, Verdict: Bad}
	var by []string
	var took time.Duration
	for _, family := range families {
		if b, ok := u.answers[family]; ok {
			by, took = append(by, "IPv"+family), b.Took
		}
	}
	f.Value = strings.ToLower(strings.Join(by, " "))
	switch {
	case len(by) > 0:
		f.Verdict, f.Text = OK, fmt.Sprintf("it gets through, over %s, in %d ms", strings.Join(by, " and "), took.Milliseconds())
	case !u.main["4"].IsValid() && !u.main["6"].IsValid():
		f.Verdict, f.Text = Unknown, "the relay's UDP port is not known here"
	case !u.says:
		f.Verdict, f.Text = Unknown, unsaid
	default:
		f.Text = fmt.Sprintf("nothing comes back from port %d: have the firewall let UDP out to it, or pictures take the slower way over TCP", u.mainPort())
	}
	return f
}

func (u *udp) mainPort() uint16 {
	for _, family := range families {
		if u.main[family].IsValid() {
			return u.main[family].Port()
		}
	}
	return 0
}

// ipv6 says whether IPv6 gets anywhere, for all relays together.
func ipv6(all []*udp, here []netip.Addr) Finding {
	f := Finding{Check: "ipv6", Verdict: Unknown, Value: "unknown", Text: "no relay here has an IPv6 address to test it by"}
	known, answers, over4 := false, false, false
	for _, u := range all {
		known = known || u.main["6"].IsValid()
		_, six := u.answers["6"]
		_, four := u.answers["4"]
		answers, over4 = answers || six, over4 || four
	}
	own := false
	for _, a := range here {
		own = own || a.Is6() && a.IsGlobalUnicast() && !a.IsPrivate()
	}
	switch {
	case answers:
		f.Verdict, f.Value, f.Text = OK, "yes", "it gets through, and needs no holes in a NAT"
	case !own:
		f.Verdict, f.Value, f.Text = OK, "none", "this machine has none, and IPv4 does; where the router offers it, turn it on: it needs no holes in a NAT"
		if !over4 {
			f.Text = "this machine has none"
		}
	case known && !over4:
		f.Verdict, f.Text = Unknown, "no UDP gets out here, over IPv6 or IPv4"
	case known:
		f.Verdict, f.Value, f.Text = Bad, "broken", "this machine has an address and nothing comes back: repair it in the router, or turn it off"
	}
	return f
}
