package selfsigned

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

func TestCertificateIsForItsHostAlone(t *testing.T) {
	for host, other := range map[string]string{"127.0.0.1": "127.0.0.2", "relay.example": "other.example"} {
		c := New(t, host)
		roots := x509.NewCertPool()
		roots.AddCert(c.Leaf)
		if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("%s: %v", host, err)
		}

		if err := c.Leaf.VerifyHostname(other); err == nil {
			t.Errorf("the certificate for %s is good for %s", host, other)
		}
	}
}

func TestCertificateIsValidWithinItsTime(t *testing.T) {
	from := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	to := from.Add(time.Hour)
	c := Valid(t, "camera.example", from, to)
	if !c.Leaf.NotBefore.Equal(from) || !c.Leaf.NotAfter.Equal(to) {
		t.Errorf("valid from %v to %v, want %v to %v", c.Leaf.NotBefore, c.Leaf.NotAfter, from, to)
	}
}

func TestPEMIsReadBack(t *testing.T) {
	c := New(t, "127.0.0.1")
	certificate, key := PEM(t, c)
	got, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}

	if !bytes.Equal(got.Certificate[0], c.Certificate[0]) {
		t.Error("another certificate")
	}
}
