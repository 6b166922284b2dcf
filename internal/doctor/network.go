package doctor

import (
	"context"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/internal/nat"
)

// Network is the network that this machine is in, as its way to some relays shows it.
type Network struct {
	Relays     []Relay
	PortMapper PortMapper // nil: no router is asked
	Addresses  bool       // findings tell addresses too
}

// Examine tests everything, in some ten seconds where packets are swallowed.
func (n Network) Examine(ctx context.Context) Report {
	findings, all := reachAll(ctx, n.Relays)
	findings = append(findings, ipv6(all, nat.Here()))
	var router opened
	var size Finding
	var b behaviour
	var asking sync.WaitGroup
	asking.Go(func() { router = askRouter(ctx, n.PortMapper, all) })
	asking.Go(func() { b = study(ctx, all) })
	asking.Go(func() { size = mtu(ctx, all, spoken(all)) })
	asking.Wait()
	findings = append(findings, b.mapped(router.outside.IsValid()), b.filtered(), b.looped(), router.finding(b), size)
	if !n.Addresses {
		for i := range findings {
			findings[i].Addresses = nil
		}
	}
	return newReport(findings)
}

// reachAll tests the ways to each relay.
func reachAll(ctx context.Context, relays []Relay) (findings []Finding, all []*udp) {
	each := make([][]Finding, len(relays))
	all = make([]*udp, len(relays))
	var asking sync.WaitGroup
	for i, r := range relays {
		asking.Go(func() { each[i], all[i] = r.ways(ctx, label(r.URL, i+1, len(relays))) })
	}
	asking.Wait()
	for _, f := range each {
		findings = append(findings, f...)
	}
	return findings, all
}

// ways tests all ways to one relay.
func (r Relay) ways(ctx context.Context, name string) ([]Finding, *udp) {
	c := r.reach(ctx, name)
	var u *udp
	var tcp, tls Finding
	var asking sync.WaitGroup
	asking.Go(func() { u = c.askUDP(ctx) })
	asking.Go(func() { tcp = c.tcp(ctx) })
	asking.Go(func() { tls = c.tls(ctx) })
	asking.Wait()
	return []Finding{c.https(), c.certificate(time.Now()), c.clock(), u.reached(), tcp, tls}, u
}

// spoken is the family by which UDP gets through; empty: none.
func spoken(all []*udp) string {
	for _, family := range families {
		for _, u := range all {
			if _, ok := u.answers[family]; ok {
				return family
			}
		}
	}
	return ""
}
