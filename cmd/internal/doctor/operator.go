package doctor

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/p2p"
)

// Operator is a relay as its operator configured it. It is to be examined on the relay's own machine, while the relay
// runs.
type Operator struct {
	Relay
	Certificate string   // PEM file of its chain; empty: none
	SelfSigned  bool     // only those who were given the certificate trust it, by -relay-cert
	Secrets     []string // files that nobody else may read; missing ones are ignored
	Circuits    string   // multiaddr of its circuit relay; empty: none
	Regions     string   // file of the map of regions that it was told to serve; empty: none
	Addresses   bool     // show addresses in findings
}

// Examine tests how devices reach the relay, by the names and ports that they learn, and the machine it runs on.
func (o Operator) Examine(ctx context.Context) Report {
	now := time.Now()
	local := strings.HasPrefix(o.URL, "http:")
	c := o.contact(ctx, "")

	var u *udp
	var tcp, tls, name, websocket, webTransport, regions, circuits Finding
	var checks sync.WaitGroup
	checks.Go(func() { u = c.askUDP(ctx) })
	checks.Go(func() { tcp = c.checkTCP(ctx) })
	checks.Go(func() { tls = c.checkTLS(ctx) })
	checks.Go(func() { name = o.checkName(ctx, local) })
	checks.Go(func() { websocket = c.checkSignaling(ctx) })
	checks.Go(func() { webTransport = c.checkWebTransport(ctx) })
	checks.Go(func() { regions = o.checkRegions(ctx, now) })
	checks.Go(func() { circuits = o.checkCircuits(ctx) })
	checks.Wait()

	https := c.checkHTTPS()
	if c.err != nil {
		https.Text += "; start relay serve first"
	}
	return newReport([]Finding{
		name,
		https,
		c.checkCertificate(now),
		o.checkCertificateFile(c, now),
		websocket,
		webTransport,
		regions,
		u.checkUDP(),
		u.checkSecondPort(),
		tcp,
		tls,
		circuits,
		o.checkSecrets(),
		checkOpenFiles(),
		checkBuffers(),
		checkTimeService(),
	}, o.Addresses)
}

// checkName tells whether the relay's name leads to an address that the internet can reach.
func (o Operator) checkName(ctx context.Context, local bool) Finding {
	f := Finding{Check: "name"}
	u, err := url.Parse(o.URL)
	if err != nil {
		return f.conclude(Bad, "malformed", "the public URL is malformed: correct -public-url")
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil || len(found) == 0 {
		return f.conclude(Bad, "unknown",
			"the public URL's host has no address: create its A and AAAA records, or correct -public-url")
	}

	private := 0
	for _, a := range found {
		f.Addresses = append(f.Addresses, a.Unmap().String())
		if a = a.Unmap(); !a.IsGlobalUnicast() || a.IsPrivate() {
			private++
		}
	}
	switch {
	case private == 0:
		return f.conclude(OK, "public", "the public URL's host has a public address; "+
			"to see whether devices elsewhere reach it, run viewer doctor -relay URL in another network")
	case local || o.SelfSigned:
		return f.conclude(OK, "local", "the relay is configured to serve only this machine or network")
	}
	return f.conclude(Bad, "private", "the public URL's host has an address that the internet cannot reach: "+
		"correct its DNS records, or this machine's hosts file")
}

// checkCircuits tells whether cameras and viewers reach the circuit relay, by the multiaddr that they know.
func (o Operator) checkCircuits(ctx context.Context) Finding {
	f := Finding{Check: "circuit relay"}
	if o.Circuits == "" {
		return f.conclude(OK, "none", "there is none, since -p2p is not given")
	}
	return judgeCircuits(f, p2p.ReachRelay(ctx, o.Circuits))
}

// judgeCircuits tells what came of reaching the circuit relay.
func judgeCircuits(f Finding, err error) Finding {
	switch {
	case err == nil:
		return f.conclude(OK, "yes", "it answers with the key that is in its address")
	case errors.Is(err, p2p.ErrOtherKey):
		return f.conclude(Bad, "key", "it answers with another key than its key file's, so no camera accepts it: "+
			"restart the relay, or check -state")
	}
	return f.conclude(Bad, "silent",
		"no answer: open the UDP port of -p2p in the firewall, and restart the relay if -p2p is new")
}

// checkSecondPort tells whether devices can find out what NAT they are behind.
func (u *udp) checkSecondPort() Finding {
	f := Finding{Check: "second udp port", Relay: u.name}
	switch s, ok := findServer(u.servers, "stun", false); {
	case !u.says && len(u.seconds) == 0:
		return f.conclude(Unknown, "", unsaid)
	case !ok:
		return f.conclude(Bad, "none", "there is none: free the UDP port after -turn's and restart the relay, "+
			"or devices cannot tell what NAT they are behind")
	case s.port == u.mainPort():
		return f.conclude(Bad, "same",
			"it is the same as the main port: forward the next port too, and check -turn-public")
	case len(u.seconds) == 0 && len(u.answers) == 0:
		return f.conclude(Unknown, "", "no UDP reaches the relay at all")
	case len(u.seconds) == 0:
		return f.conclude(Bad, "silent", "no answer: open the UDP port after -turn's in the firewall, "+
			"or devices cannot tell what NAT they are behind")
	}
	return f.conclude(OK, "yes", "it answers, so devices can tell what NAT they are behind")
}

// checkCertificateFile tells whether the certificate in the file is good, and whether the relay serves that one.
func (o Operator) checkCertificateFile(c *contact, now time.Time) Finding {
	f := Finding{Check: "certificate file"}
	if o.Certificate == "" {
		return f.conclude(OK, "none", "none is needed: a proxy on this machine ends TLS, or there is no TLS")
	}
	chain, err := readChain(o.Certificate)
	if err != nil || len(chain) == 0 {
		return f.conclude(Bad, "unreadable",
			"it cannot be read: give -tls-cert a PEM file with the whole chain, readable by the relay's user")
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return f.conclude(Unknown, "none", "the public URL is malformed")
	}

	f = judgeCertificate(f, verifyChain(chain, o.roots(), u.Hostname(), now), chain[0], now)
	if f.Verdict != OK || c.state == nil || len(c.state.PeerCertificates) == 0 {
		return f
	}
	if !c.state.PeerCertificates[0].Equal(chain[0]) {
		return f.conclude(Bad, f.Value,
			"the relay serves a different certificate: reload it (kill -HUP), so that it reads this file")
	}
	return f
}
