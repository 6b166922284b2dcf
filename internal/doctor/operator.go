package doctor

import (
	"context"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Operator is a relay as its operator configured it. It is to be examined on the relay's own machine, while the relay runs.
type Operator struct {
	Relay
	Certificate string   // file of its chain, PEM; empty: none
	SelfSigned  bool     // it is to be trusted by -relay-cert alone
	Secrets     []string // files that nobody else may read; those that are not there are passed over
	Addresses   bool     // findings tell addresses too
}

// Examine tests the relay's ways in, by the names and ports that devices are told, and the machine that it is on.
func (o Operator) Examine(ctx context.Context) Report {
	now := time.Now()
	local := strings.HasPrefix(o.URL, "http:")
	var c *contact
	var u *udp
	var tcp, tls, name Finding
	c = o.reach(ctx, "")
	var asking sync.WaitGroup
	asking.Go(func() { u = c.askUDP(ctx) })
	asking.Go(func() { tcp = c.tcp(ctx) })
	asking.Go(func() { tls = c.tls(ctx) })
	asking.Go(func() { name = o.name(ctx, local) })
	asking.Wait()
	findings := []Finding{name, c.https(), c.certificate(now), o.certificateFile(c, now), u.reached(), u.secondPort(), tcp, tls}
	if c.err != nil {
		findings[1].Text += "; start relay serve, then examine it"
	}
	findings = append(findings, o.secrets(), openFiles(), buffers(), kept())
	if !o.Addresses {
		for i := range findings {
			findings[i].Addresses = nil
		}
	}
	return newReport(findings)
}

// name says whether the relay's name leads to an address that the world can reach.
func (o Operator) name(ctx context.Context, local bool) Finding {
	f := Finding{Check: "name", Verdict: OK, Value: "public", Text: "the public URL's host leads to a public address; whether the world gets in there only another network shows: run viewer doctor -relay URL in one"}
	u, err := url.Parse(o.URL)
	if err != nil {
		f.Verdict, f.Value, f.Text = Bad, "malformed", "the public URL is malformed: correct -public-url"
		return f
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil || len(found) == 0 {
		f.Verdict, f.Value, f.Text = Bad, "unknown", "the public URL's host has no address: make its A and AAAA records, or correct -public-url"
		return f
	}
	inside := 0
	for _, a := range found {
		f.Addresses = append(f.Addresses, a.Unmap().String())
		if a = a.Unmap(); !a.IsGlobalUnicast() || a.IsPrivate() {
			inside++
		}
	}
	switch {
	case inside == 0:
	case local || o.SelfSigned:
		f.Value, f.Text = "local", "the relay serves this machine or network alone, by its configuration"
	default:
		f.Verdict, f.Value, f.Text = Bad, "private", "the public URL's host leads to an address that the world cannot reach: correct its records, or what this machine's hosts file says"
	}
	return f
}

// secondPort says whether devices can tell what NAT they are behind.
func (u *udp) secondPort() Finding {
	f := Finding{Check: "second udp port", Relay: u.name, Verdict: OK, Value: "yes", Text: "it answers, at a port of its own, so that devices can tell what NAT they are behind"}
	switch s, ok := find(u.servers, "stun", false); {
	case !u.says && len(u.seconds) == 0:
		f.Verdict, f.Value, f.Text = Unknown, "", unsaid
	case !ok:
		f.Verdict, f.Value, f.Text = Bad, "none", "there is none: free the UDP port after -turn's and restart the relay, or devices cannot tell what NAT they are behind"
	case s.port == u.mainPort():
		f.Verdict, f.Value, f.Text = Bad, "same", "it is the main port again: forward the port after it too, and check -turn-public"
	case len(u.seconds) == 0 && len(u.answers) == 0:
		f.Verdict, f.Value, f.Text = Unknown, "", "no UDP gets to the relay at all"
	case len(u.seconds) == 0:
		f.Verdict, f.Value, f.Text = Bad, "silent", "nothing comes back from it: open the UDP port after -turn's in the firewall, or devices cannot tell what NAT they are behind"
	}
	return f
}

// certificateFile says whether the certificate in the file is good, and the one that is served.
func (o Operator) certificateFile(c *contact, now time.Time) Finding {
	f := Finding{Check: "certificate file", Verdict: OK, Value: "none", Text: "none is needed: a proxy on this machine, or nobody, takes TLS off"}
	if o.Certificate == "" {
		return f
	}
	chain, err := readChain(o.Certificate)
	if err != nil || len(chain) == 0 {
		f.Verdict, f.Value, f.Text = Bad, "unreadable", "it cannot be read: give -tls-cert a PEM file with the whole chain, readable by the relay's user"
		return f
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		f.Verdict, f.Text = Unknown, "the public URL is malformed"
		return f
	}
	var roots *x509.CertPool
	if o.Trust != nil {
		roots = o.Trust.RootCAs
	}
	f = judgeCertificate(f, verify(chain, roots, u.Hostname(), now), chain[0], now)
	if f.Verdict == OK && c.state != nil && len(c.state.PeerCertificates) > 0 && !c.state.PeerCertificates[0].Equal(chain[0]) {
		f.Verdict, f.Text = Bad, "the relay serves another certificate than this one: restart it, for it reads the file at its start"
	}
	return f
}
