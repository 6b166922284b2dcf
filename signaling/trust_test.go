package signaling

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTrustFileTrustsItsCertificatesOnly(t *testing.T) {
	if c, err := TrustFile(""); c != nil || err != nil {
		t.Errorf("no file: %v, %v; want the system's roots", c, err)
	}
	if _, err := TrustFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}

	path := filepath.Join(t.TempDir(), "cert.pem")
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	write([]byte("no certificate"))
	if _, err := TrustFile(path); !errors.Is(err, ErrCertificate) {
		t.Errorf("no certificate: %v", err)
	}
	s := httptest.NewTLSServer(nil)
	defer s.Close()

	write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	c, err := TrustFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Certificate().Verify(x509.VerifyOptions{Roots: c.RootCAs}); err != nil {
		t.Errorf("the certificate in the file is not trusted: %v", err)
	}
}

// A certificate is judged by the device's own clock. The error's words about the time are true whether the clock or the
// certificate is wrong.
func TestCertificateIsJudgedByTheDevicesClock(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())

	for shows, says := range map[time.Time]string{
		time.Unix(-1e8, 0): "its certificate is not valid yet by this machine's clock " +
			"(current time 1966-",
		s.Certificate().NotAfter.Add(time.Hour):  "its certificate has expired by this machine's clock (current time ",
		s.Certificate().NotAfter.Add(-time.Hour): "it answers HTTP 404",
	} {
		trust := TrustAt(&tls.Config{RootCAs: roots}, func() time.Time { return shows })
		if err := CheckRelay(t.Context(), s.URL, trust, 0); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("at %s: %v, want %s", shows, err, says)
		}
	}

	if trust := TrustAt(nil, time.Now); trust.RootCAs != nil || trust.Time == nil {
		t.Error("without a configuration, the result must use the system's roots and the given clock")
	}
}
