package signaling

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// ErrCertificate is returned for a file without a certificate in it.
var ErrCertificate = errors.New("no certificate in the file: give the relay's certificate in PEM form")

// TrustFile returns a client configuration that trusts the certificates in a PEM file and no others; nil for an empty name.
func TrustFile(path string) (*tls.Config, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read relay certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read relay certificate %s: %w", path, ErrCertificate)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, nil
}
