package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/signaling"
)

// A self-signed certificate is renewed when less than renewBefore is left. Browsers refuse a certificate that is valid
// for more than 398 days.
const (
	certificateLife = 90 * 24 * time.Hour
	renewBefore     = 14 * 24 * time.Hour
	certificateFile = "self-signed.pem" // certificate and key
)

// certificate reads the certificate for host, or makes a self-signed one. It returns nil for plain HTTP.
func (c *config) certificate(host string, now time.Time) (*tls.Certificate, error) {
	switch {
	case c.tlsSelfSigned:
		cert, err := selfSigned(filepath.Join(c.state, certificateFile), host, now)
		if err != nil {
			return nil, err
		}
		return &cert, nil
	case c.tlsCert != "":
		cert, err := loadCertificate(c.tlsCert, c.tlsKey)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w; -tls-cert and -tls-key need PEM files that belong together",
				err)
		}
		if now.After(cert.Leaf.NotAfter) {
			return nil, fmt.Errorf("certificate %s expired on %s: "+
				"renew it, or set this machine's "+
				"clock, which shows %s", c.tlsCert, cert.Leaf.NotAfter.Format(time.DateOnly), now.Format(time.DateOnly))
		}
		return &cert, nil
	}
	return nil, nil
}

// loadCertificate reads a certificate chain and its key. The operator decides who else may read the key: some programs
// that renew certificates let a group read it.
func loadCertificate(certPath, keyPath string) (tls.Certificate, error) {
	chain, err := signaling.ReadFile(certPath)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := signaling.ReadFile(keyPath)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, key)
}

// selfSigned loads the certificate kept in path, or makes one for host and keeps it there.
func selfSigned(path, host string, now time.Time) (tls.Certificate, error) {
	var cert tls.Certificate
	kept, err := identity.ReadFile(path)
	if err == nil {
		cert, err = tls.X509KeyPair(kept, kept)
	}

	if err == nil && cert.Leaf.VerifyHostname(host) == nil && now.Before(cert.Leaf.NotAfter.Add(-renewBefore)) {
		return cert, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, fmt.Errorf("read self-signed certificate: %w; remove %s to make a new one", err, path)
	}

	text, err := makeCertificate(host, now)
	if err == nil {
		err = identity.WriteFile(path, text)
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make self-signed certificate: %w; "+
			"-state needs a folder that can be written to", err)
	}
	return tls.X509KeyPair(text, text)
}

func makeCertificate(host string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}

	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Peephole relay, self-signed"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}

	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), nil
}

// checkState makes the state folder. full is the reason why nothing can be saved there. A relay that has nothing to
// save can still run.
func checkState(dir string) (full, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w; give another one with -state", err)
	}
	return identity.CheckRoom(dir), nil
}
