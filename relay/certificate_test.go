package relay

import (
	"crypto/tls"
	"testing"

	"github.com/peephole-cam/peephole/test/selfsigned"
)

// TestReloadTakesOnlyCertificates: Reload takes a certificate without a Leaf, and leaves the caller's copy as it is. It
// keeps the old one if the embedder returns none, or one that cannot be parsed.
func TestReloadTakesOnlyCertificates(t *testing.T) {
	bare := func() *tls.Certificate {
		cert := selfsigned.New(t, "127.0.0.1")
		cert.Leaf = nil
		return &cert
	}
	given := bare()
	r := newRelay(t, func(c *Config) {
		c.Certificate = func(string) (*tls.Certificate, error) { return given, nil }
	})

	given = bare()
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	served := r.Certificate()
	if served.Leaf == nil || Fingerprint(served) != Fingerprint(given) || given.Leaf != nil {
		t.Errorf("served: leaf %v, %s; given: leaf %v, %s", served.Leaf != nil, Fingerprint(served), given.Leaf != nil,
			Fingerprint(given))
	}

	for name, bad := range map[string]*tls.Certificate{
		"none":      nil,
		"empty":     {},
		"malformed": {Certificate: [][]byte{{1}}},
	} {
		if given = bad; r.Reload() == nil || r.Certificate() != served {
			t.Errorf("%s: accepted as a certificate", name)
		}
	}
}
