package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// renewBefore is how long before its end a certificate should have been renewed.
const renewBefore = 14 * 24 * time.Hour

// verifyCertificate returns what is wrong with the relay's certificate at a given time, or nil.
func (c *contact) verifyCertificate(at time.Time) error {
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
	return verifyChain(c.state.PeerCertificates, c.roots(), u.Hostname(), at)
}

// verifyChain verifies a chain as it was sent, leaf first.
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, host string, at time.Time) error {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName:       host,
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   at,
	})
	return err
}

// checkCertificate tells whether devices can trust the relay's certificate.
func (c *contact) checkCertificate(now time.Time) Finding {
	f := Finding{Check: "certificate", Relay: c.name}
	if c.err != nil {
		return f.conclude(Unknown, "", "no certificate was seen, since the relay does not answer")
	}
	if c.state == nil {
		return f.conclude(OK, "none", "none is needed: the relay is on this machine")
	}
	return judgeCertificate(f, c.verifyCertificate(now), c.state.PeerCertificates[0], now)
}

// judgeCertificate concludes about a certificate for which verifyChain returned err.
func judgeCertificate(f Finding, err error, leaf *x509.Certificate, now time.Time) Finding {
	left := leaf.NotAfter.Sub(now)
	days := int(left / (24 * time.Hour))
	value := fmt.Sprint(days)
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError

	switch {
	case now.Before(leaf.NotBefore):
		return f.conclude(Bad, value, "it is not valid yet: set this machine's clock, or wait")
	case left <= 0:
		return f.conclude(Bad, value, fmt.Sprintf("it expired %d days ago: renew it, and reload the relay "+
			"(kill -HUP), or set this machine's clock if that is wrong", -days))
	case errors.As(err, &name):
		return f.conclude(Bad, value, "it is for another name: get one for the host in the relay's URL")
	case errors.As(err, &authority):
		return f.conclude(Bad, value, "no authority that this machine trusts has signed it: serve the whole chain, "+
			"or say -relay-cert for a self-signed relay")
	case err != nil:
		return f.conclude(Bad, value, "it cannot be trusted: get a new one")
	case left < renewBefore:
		return f.conclude(Bad, value,
			fmt.Sprintf("it expires in %d days: renew it, and reload the relay (kill -HUP)", days))
	}
	return f.conclude(OK, value,
		fmt.Sprintf("it is for this name, trusted here, and valid for %d more days", days))
}
