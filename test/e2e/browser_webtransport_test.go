package e2e

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media"
)

// startRelayOverHTTP3 starts a relay that serves WebTransport, and returns its certificate's file.
func startRelayOverHTTP3(t testing.TB) (url, file string, relay *process) {
	t.Helper()
	for range 20 { // until the UDP port with the number of the TCP port is free
		state := t.TempDir()
		relay = start(t, "relay", "serve", "-loopback-unlimited", "-listen", "127.0.0.1:0", "-turn", "127.0.0.1:0",
			"-tls-self-signed", "-state", state)
		url = relay.line(t, "ready ")
		if !strings.Contains(relay.said(), "signaling over WebSocket alone") {
			return url, filepath.Join(state, "self-signed.pem"), relay
		}
		relay.stop()
	}
	t.Fatal("no port is free for both TCP and UDP")
	return "", "", nil
}

// spkiOf returns the SHA-256 of the SubjectPublicKeyInfo of the certificate in a file, in base64.
func spkiOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// noWebSocket makes WebSockets that never connect.
const noWebSocket = `globalThis.WebSocket = class {
	static OPEN = 1;
	readyState = 0;
	bufferedAmount = 0;
	close() {}
	send() {}
};`

// Chromium pairs and watches over WebTransport where the WebSocket does not connect, and over the WebSocket where the
// relay has no WebTransport.
func TestBrowserSignalsOverWebTransport(t *testing.T) {
	t.Parallel()
	url, file, _ := startRelayOverHTTP3(t)
	links := startCameraSim(t, url, 1, "-relay-cert", file)
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}

	r := drive{
		Browser:  "chromium",
		Policy:   "plain",
		TrustAll: true,
		SPKI:     spkiOf(t, file),
		Prelude:  noWebSocket,
		Steps: []step{
			{"open": links["sim-0"]}, {"wait": "playing", "cards": 1}, {"frames": 20},
		},
	}.run(t)
	r.Cards[0].shows(t, "sim-0", clips[0].Background, "video")
	if r.Cards[0].Signaling != "webtransport" {
		t.Errorf("signaling over %q", r.Cards[0].Signaling)
	}

	plain := startRelayCommand(t)
	links = startCameraSim(t, plain, 1)
	r = drive{Browser: "chromium", Policy: "plain", Steps: []step{
		{"open": links["sim-0"]}, {"wait": "playing", "cards": 1}, {"frames": 5},
	}}.run(t)
	if r.Cards[0].Signaling != "websocket" {
		t.Errorf("without HTTP/3: signaling over %q", r.Cards[0].Signaling)
	}
}
