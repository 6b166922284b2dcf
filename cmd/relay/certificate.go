package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
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
)

// Self-signed certificates are renewed when less than renewBefore is left; browsers take none that lives for longer than 398 days.
const (
	certificateLife = 90 * 24 * time.Hour
	renewBefore     = 14 * 24 * time.Hour
	certificateFile = "self-signed.pem" // certificate and key
)

// certificate returns the TLS configuration, nil for plain HTTP, and the fingerprint of a self-signed certificate.
func (c *config) certificate(host string, now time.Time) (*tls.Config, string, error) {
	var cert tls.Certificate
	var err error
	var fingerprint string
	switch {
	case c.tlsSelfSigned:
		if cert, err = selfSigned(filepath.Join(c.state, certificateFile), host, now); err != nil {
			return nil, "", err
		}
		sum := sha256.Sum256(cert.Certificate[0])
		fingerprint = hex.EncodeToString(sum[:])
	case c.tlsCert != "":
		if cert, err = tls.LoadX509KeyPair(c.tlsCert, c.tlsKey); err != nil {
			return nil, "", fmt.Errorf("read certificate: %w; -tls-cert and -tls-key want PEM files that belong together", err)
		}
		if now.After(cert.Leaf.NotAfter) {
			return nil, "", fmt.Errorf("certificate %s expired on %s: renew it", c.tlsCert, cert.Leaf.NotAfter.Format(time.DateOnly))
		}
	default:
		return nil, "", nil
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{alpnHTTP}}, fingerprint, nil
}

// selfSigned loads the certificate kept in path, or makes one for host and keeps it there.
func selfSigned(path, host string, now time.Time) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(path, path)
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
		return tls.Certificate{}, fmt.Errorf("make self-signed certificate: %w; -state wants a folder that can be written to", err)
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
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Peephole relay, self-signed"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
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

// checkState makes the state folder, and finds out now rather than later whether it can be written to.
func checkState(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".probe.*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("open state folder: %w; give another one with -state", err)
	}
	return nil
}
