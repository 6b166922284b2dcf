package relay

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// servedCertificate holds the certificate for new connections. Existing connections keep the one with which they began.
type servedCertificate struct {
	current atomic.Pointer[tls.Certificate]
}

// config returns a TLS configuration that serves the current certificate.
func (s *servedCertificate) config() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current.Load(), nil },
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{alpnHTTP},
	}
}

// Certificate returns the certificate that the relay serves now, or nil over plain HTTP.
func (r *Relay) Certificate() *tls.Certificate { return r.certificate.current.Load() }

// Reload calls Config's Certificate, Secret and Regions again, and uses each result that is good. Connections stay
// open.
func (r *Relay) Reload() error {
	var errs []error
	if r.cfg.Certificate != nil {
		errs = append(errs, r.loadCertificate())
	}
	if r.cfg.Secret != nil { // otherwise the secret is replaced every hour, and not on demand
		errs = append(errs, r.turn.renew())
	}
	if r.cfg.Regions != nil {
		errs = append(errs, r.loadRegions())
	}

	return errors.Join(errs...)
}

// loadCertificate gets the certificate and serves it from now on.
func (r *Relay) loadCertificate() error {
	given, err := r.cfg.Certificate(hostname(r.url))
	if err != nil {
		return err
	}
	cert, err := withLeaf(given)
	if err != nil {
		return err
	}

	old := r.certificate.current.Swap(cert)
	if old != nil && Fingerprint(old) != Fingerprint(cert) {
		until := cert.Leaf.NotAfter.Format(time.DateOnly)
		r.log.Info("another certificate is served", "until", until, "sha256", Fingerprint(cert))
	}

	return nil
}

// withLeaf returns the given certificate with its Leaf, which one that was not made by package tls may lack.
func withLeaf(given *tls.Certificate) (*tls.Certificate, error) {
	if given == nil || len(given.Certificate) == 0 {
		return nil, errors.New("field Certificate returns no certificate")
	}
	if given.Leaf != nil {
		return given, nil
	}

	cert := *given // the embedder's stays as it is
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	cert.Leaf = leaf
	return &cert, nil
}

// Fingerprint returns the SHA-256 of a certificate's leaf in hexadecimal digits.
func Fingerprint(cert *tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	return hex.EncodeToString(sum[:])
}
