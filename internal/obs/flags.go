package obs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// LogFlags say how a command logs.
type LogFlags struct {
	level  string
	format Format
}

// Register adds the flags to fs.
func (f *LogFlags) Register(fs *flag.FlagSet) {
	fs.StringVar(&f.level, "log-level", "info", "debug, info, warn or error; debug can name addresses, never keys")
	f.format = Text
	fs.Var(&f.format, "log-format", "text or json")
}

// Logger returns the logger that the flags ask for.
func (f *LogFlags) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("read -log-level %q: want debug, info, warn or error", f.level)
	}
	return NewLogger(w, f.format, level), nil
}

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
