package doctor

import (
	"context"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/nat"
)

// Network is this machine's network, to be tested with the help of some relays.
type Network struct {
	Relays     []Relay
	Cameras    []Camera   // to be looked for here
	PortMapper PortMapper // nil: ask no router
	Addresses  bool       // show addresses in findings
}

// Examine makes all checks. It takes about ten seconds if packets are dropped, and longer if connections are to be left
// idle.
func (n Network) Examine(ctx context.Context) Report {
	findings, all := testRelays(ctx, n.Relays)
	findings = append(findings, checkIPv6(all, nat.Here()))

	var router opened
	var size Finding
	var b behaviour
	var cameras []Finding
	var checks sync.WaitGroup
	checks.Go(func() { router = askRouter(ctx, n.PortMapper, all) })
	checks.Go(func() { b = study(ctx, all) })
	checks.Go(func() { size = checkMTU(ctx, all, workingFamily(all)) })
	checks.Go(func() { cameras = checkLAN(ctx, n.Cameras) })
	checks.Wait()

	findings = append(findings,
		b.checkMapping(router.outside.IsValid()),
		b.checkFiltering(),
		b.checkHairpin(),
		router.finding(b),
		size,
	)
	return newReport(append(findings, cameras...), n.Addresses)
}

// testRelays tests the paths to each relay.
func testRelays(ctx context.Context, relays []Relay) (findings []Finding, all []*udp) {
	each := make([][]Finding, len(relays))
	all = make([]*udp, len(relays))
	var checks sync.WaitGroup
	for i, r := range relays {
		checks.Go(func() { each[i], all[i] = r.testPaths(ctx, label(r.URL, i+1, len(relays))) })
	}
	checks.Wait()

	for _, f := range each {
		findings = append(findings, f...)
	}
	return findings, all
}

// testPaths tests all paths to one relay.
func (r Relay) testPaths(ctx context.Context, name string) ([]Finding, *udp) {
	c := r.contact(ctx, name)

	var u *udp
	var tcp, tls, websocket, webTransport Finding
	var checks sync.WaitGroup
	checks.Go(func() { websocket = c.checkSignaling(ctx) })
	checks.Go(func() { webTransport = c.checkWebTransport(ctx) })
	checks.Go(func() { u = c.askUDP(ctx) })
	checks.Go(func() { tcp = c.checkTCP(ctx) })
	checks.Go(func() { tls = c.checkTLS(ctx) })
	checks.Wait()

	return []Finding{
		c.checkHTTPS(),
		c.checkCertificate(time.Now()),
		c.checkClock(),
		websocket,
		webTransport,
		u.checkUDP(),
		tcp,
		tls,
	}, u
}

// workingFamily returns a family over which UDP gets through, or nothing if there is none.
func workingFamily(all []*udp) string {
	for _, family := range families {
		for _, u := range all {
			if _, ok := u.answers[family]; ok {
				return family
			}
		}
	}
	return ""
}
