package main

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/relay"
	"github.com/peephole-cam/peephole/turn"
)

// lockedBuffer is a log that can be read while it is being written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// says waits until the log contains text n times.
func (b *lockedBuffer) says(t *testing.T, text string, n int) {
	t.Helper()
	late := time.After(patience)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for strings.Count(b.String(), text) < n {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("the log does not contain %q %d times:\n%s", text, n, b)
		}
	}
}

// writeCertificate writes a new certificate and its key to the file that the relay reads.
func writeCertificate(t *testing.T, path string, now time.Time) {
	t.Helper()
	text, err := makeCertificate("127.0.0.1", now)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// dialed returns a TLS connection to a relay, and the fingerprint of the relay's certificate.
func dialed(t *testing.T, s *served) (conn *tls.Conn, certificate string) {
	t.Helper()
	anybody := &tls.Config{InsecureSkipVerify: true} // the tests compare certificates themselves
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), anybody)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })

	return conn, relay.Fingerprint(&tls.Certificate{Certificate: [][]byte{conn.ConnectionState().
		PeerCertificates[0].Raw}})
}

const reloaded, notReloaded = "reloaded the files that SIGHUP reloads", "the old settings stay in use"

func TestHangupServesTheRenewedCertificate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "both.pem")
	writeCertificate(t, file, time.Now())
	s := serveRelay(t, "-tls-cert", file, "-tls-key", file)
	before, first := dialed(t, s)

	writeCertificate(t, file, time.Now())
	s.hangups <- struct{}{}
	s.log.says(t, reloaded, 1)
	s.log.says(t, "another certificate is served", 1)
	_, second := dialed(t, s)
	if second == first {
		t.Error("the old certificate is served")
	}

	if _, err := before.Write([]byte("GET /healthz HTTP/1.0\r\n\r\n")); err != nil {
		t.Error("an earlier connection ended:", err)
	}
	if n, err := before.Read(make([]byte, 512)); n == 0 {
		t.Error("an earlier connection ended:", err)
	}
}

func TestBadCertificateLeavesTheOldOneServed(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, file string){
		"cut short": func(t *testing.T, file string) {
			if err := os.Truncate(file, 200); err != nil {
				t.Fatal(err)
			}
		},
		"expired": func(t *testing.T, file string) { writeCertificate(t, file, time.Now().Add(-2*certificateLife)) },
		"gone": func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "both.pem")
			writeCertificate(t, file, time.Now())
			s := serveRelay(t, "-tls-cert", file, "-tls-key", file)
			_, first := dialed(t, s)

			spoil(t, file)
			s.hangups <- struct{}{}
			s.log.says(t, notReloaded, 1)
			if _, now := dialed(t, s); now != first {
				t.Error("the old certificate is no longer served")
			}

			writeCertificate(t, file, time.Now())
			s.hangups <- struct{}{}
			s.log.says(t, reloaded, 1)
		})
	}
}

func TestSecretFileIsReadEachTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	cfg, err := (&config{turnSecret: file}).relay(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for b := range byte(2) {
		want := bytes.Repeat([]byte{b}, turn.MinSecret)
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := cfg.Secret(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %x (%v), want %x", got, err, want)
		}
	}
}
