package signaling

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ErrCertificate is returned for a file that holds no certificate.
var ErrCertificate = errors.New("no certificate in the file: give the relay's certificate in PEM form")

// MaxFile is how many bytes of a file that a person names are read at most. A chain of certificates has a few thousand.
const MaxFile = 1 << 20

// ReadFile reads a file of at most MaxFile bytes. If the file is longer, perhaps endless, it stops there and returns an
// error.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(text) > MaxFile {
		err = fmt.Errorf("%s is longer than %d bytes", path, MaxFile)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

// TrustFile returns a TLS configuration that trusts the certificates in a PEM file and no others. It returns nil for an
// empty name.
func TrustFile(path string) (*tls.Config, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read relay certificate: %w", err)
	}

	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read relay certificate %s: %w", path, ErrCertificate)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, nil
}

// TrustAt returns a copy of cfg that judges certificates by now, a clock that never goes back behind a time that it has
// shown. A nil cfg means the system's roots. Otherwise a machine that boots in 1970 would reach no relay.
func TrustAt(cfg *tls.Config, now func() time.Time) *tls.Config {
	if cfg == nil {
		cfg = new(tls.Config)
	}
	cfg = cfg.Clone()
	cfg.Time = now
	return cfg
}
