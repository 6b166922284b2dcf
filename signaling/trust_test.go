package signaling

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestTrustFile(t *testing.T) {
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
