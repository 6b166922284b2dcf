package rtsp

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
	"github.com/peephole-cam/peephole/test/selfsigned"
)

// selfSigned returns a certificate like that of a camera whose clock starts in 1970.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	return selfsigned.Valid(t, "camera", time.Unix(0, 0), time.Unix(3600, 0))
}

func TestFirstCertificateIsPinned(t *testing.T) {
	units := clip(t)
	present := selfSigned(t)
	camera := rtsptest.New(t, rtsptest.Options{
		Units: units,
		TLS: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			certificate := present
			return &certificate, nil
		}},
	})

	var seen [][sha256.Size]byte
	client := newClient(t, Config{
		URL:          strings.Replace(camera.URL(""), "rtsp:", "rtsps:", 1),
		OnUnverified: func(c [sha256.Size]byte) { seen = append(seen, c) },
	})
	client.prefer(overUDP) // must not be used: it would not be encrypted
	for range 2 {
		wantUnits(t, readUnits(t, client, 5), units)
	}

	if len(seen) != 1 || seen[0] != sha256.Sum256(present.Certificate[0]) {
		t.Errorf("told of %d certificates", len(seen))
	}
	if len(camera.Ports()) != 0 {
		t.Error("packets were sent over UDP, unencrypted")
	}

	present = selfSigned(t)
	if err := client.Run(inTime(t), func(Unit) { t.Error("an access unit") }); !errors.Is(err, ErrCertificate) {
		t.Errorf("another certificate: %v", err)
	}
}

func TestTLSNeverFallsBackToUDP(t *testing.T) {
	certificate := selfSigned(t)
	camera := rtsptest.New(t, rtsptest.Options{
		Units: clip(t),
		NoTCP: true,
		TLS:   &tls.Config{Certificates: []tls.Certificate{certificate}},
	})

	url := strings.Replace(camera.URL(""), "rtsp:", "rtsps:", 1)
	var status *StatusError
	err := newClient(t, Config{URL: url}).Run(inTime(t), func(Unit) { t.Error("an access unit") })
	if !errors.As(err, &status) || status.Code != 461 || camera.Asked("SETUP") != 1 {
		t.Errorf("%v after %q", err, camera.Requests())
	}

	plain := rtsptest.New(t, rtsptest.Options{Units: clip(t)})
	err = newClient(t, Config{URL: strings.Replace(plain.URL(""), "rtsp:", "rtsps:", 1)}).Run(inTime(t), func(Unit) {})
	if err == nil || len(plain.Requests()) != 0 {
		t.Errorf("a camera without TLS: %v", err)
	}
}
