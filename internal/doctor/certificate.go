package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// renewBefore is how long before its end a certificate is to be renewed.
const renewBefore = 14 * 24 * time.Hour

// trusted says what is wrong with the relay's certificate at a time; nil: nothing.
func (c *contact) trusted(at time.Time) error {
	if c.state == nil {
		return nil // plain HTTP, to this machine
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return err
	}
	if len(c.state.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	var roots *x509.CertPool
	if c.Trust != nil {
		roots = c.Trust.RootCAs
	}
	return verify(c.state.PeerCertificates, roots, u.Hostname(), at)
}

// verify checks a chain, leaf first, as it was sent.
func verify(chain []*x509.Certificate, roots *x509.CertPool, host string, at time.Time) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: at})
	return err
}

// certificate says whether devices can trust the relay's.
func (c *contact) certificate(now time.Time) Finding {
	f := Finding{Check: "certificate", Relay: c.name, Verdict: Unknown, Text: "no certificate was seen, for the relay does not answer"}
	if c.err != nil {
		return f
	}
	if c.state == nil {
		f.Verdict, f.Value, f.Text = OK, "none", "none is needed: the relay is on this machine"
		return f
	}
	return judgeCertificate(f, c.trusted(now), c.state.PeerCertificates[0], now)
}

// judgeCertificate fills in what is to say of a certificate that verify found err about.
func judgeCertificate(f Finding, err error, leaf *x509.Certificate, now time.Time) Finding {
	left := leaf.NotAfter.Sub(now)
	days := int(left / (24 * time.Hour))
	f.Verdict, f.Value = Bad, fmt.Sprint(days)
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case now.Before(leaf.NotBefore):
		f.Text = "it is not valid yet: set this machine's clock, or wait"
	case left <= 0:
		f.Text = fmt.Sprintf("it expired %d days ago: renew it, and restart the relay; or set this machine's clock, if that is wrong", -days)
	case errors.As(err, &name):
		f.Text = "it is for another name: have one made for the host in the relay's URL"
	case errors.As(err, &authority):
		f.Text = "nobody whom this machine trusts has signed it: serve the whole chain, or for a self-signed relay say -relay-cert"
	case err != nil:
		f.Text = "it cannot be trusted: have it made anew"
	case left < renewBefore:
		f.Text = fmt.Sprintf("it is good for %d more days only: renew it, and restart the relay", days)
	default:
		f.Verdict, f.Text = OK, fmt.Sprintf("it is for this name, trusted here, and good for %d more days", days)
	}
	return f
}
