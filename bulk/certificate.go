package bulk

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"
)

// ErrCertificate is returned if the other end does not show the certificate that this session expects, or does not
// accept this end's.
var ErrCertificate = errors.New("the certificate is not the one of this session: start a new session")

// protocol is what the one connection speaks (ALPN, RFC 7301).
const protocol = "peephole-bulk/1"

// Certificate is the throwaway certificate with which one end of one session shows itself. It holds a private key, and
// says nothing about who that end is.
type Certificate struct {
	der []byte
	key ed25519.PrivateKey
}

// NewCertificate makes a key (Ed25519) and signs a certificate for it with the same key.
func NewCertificate() (Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Certificate{}, fmt.Errorf("make key: %w", err)
	}

	// The other end looks at the hash alone. The dates are the same for everybody, and say nothing of a clock.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5: never
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return Certificate{der, private}, nil
}

// Hash returns what the other end must know to recognize c: the SHA-256 of its DER encoding.
func (c Certificate) Hash() Hash { return sha256.Sum256(c.der) }

const redacted = "bulk certificate(redacted)"

// LogValue implements slog.LogValuer; it does not reveal the key.
func (Certificate) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter; it does not reveal the key.
func (Certificate) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// tlsConfig returns the configuration of both ends. onReject learns of every certificate that is not the expected one;
// it may be nil.
func (c Certificate) tlsConfig(other Hash, onReject func()) *tls.Config {
	verify := func(chain [][]byte, _ [][]*x509.Certificate) error {
		if len(chain) == 1 {
			if got := sha256.Sum256(chain[0]); subtle.ConstantTimeCompare(got[:], other[:]) == 1 {
				return nil
			}
		}
		if onReject != nil {
			onReject()
		}
		return ErrCertificate
	}

	return &tls.Config{
		Certificates: []tls.Certificate{{
			Certificate: [][]byte{c.der},
			PrivateKey:  c.key,
		}},
		NextProtos:             []string{protocol},
		MinVersion:             tls.VersionTLS13,
		MaxVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // no names and no authorities: VerifyPeerCertificate knows the one certificate
		SessionTicketsDisabled: true, // so VerifyPeerCertificate runs in every handshake
		VerifyPeerCertificate:  verify,
	}
}
