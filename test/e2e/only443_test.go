package e2e

import (
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media"
)

// deaf returns an address of this machine where TCP is refused and UDP is swallowed.
func deaf(t *testing.T) string {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	return udp.LocalAddr().String()
}

// startTLSRelay runs a relay with a certificate of its own, of which only the main port can be reached; file holds the
// certificate.
func startTLSRelay(t *testing.T) (url, file string) {
	t.Helper()
	state := t.TempDir()
	p := start(t, "relay", "serve", "-loopback-unlimited", "-listen", "localhost:0", "-turn", "127.0.0.1:0",
		"-turn-public", deaf(t), "-webtransport", "off", "-tls-self-signed", "-state", state)
	url = p.line(t, "ready ")
	text, err := os.ReadFile(filepath.Join(state, "self-signed.pem"))
	if err != nil {
		t.Fatal(err)
	}

	block, _ := pem.Decode(text)
	file = filepath.Join(t.TempDir(), "relay.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return url, file
}

// Where only the relay's HTTPS port can be reached, the terminal viewer and both browsers get a picture: signaling and
// TURN over TLS share the port and the certificate. Native clients trust it by -relay-cert.
func TestHTTPSPortAloneIsEnough(t *testing.T) {
	t.Parallel()
	url, file := startTLSRelay(t)
	sim := start(t, "camera-sim", "-relay", url, "-relay-cert", file, "-state", t.TempDir(), "-n", "3")
	links := make(map[string]string)
	for len(links) < 3 {
		name, link, _ := strings.Cut(sim.line(t, "pair "), " ")
		links[name] = link
	}

	t.Run("terminal", func(t *testing.T) {
		v := newTerminal(t, "-relay-cert", file)
		v.pair(t, links["sim-0"])
		o := v.run(t, "watch", "sim-0", "-relay-only", "-frames", "20", "-json")
		if w := o.parse(t); o.code != 0 || w.Frames != 20 || w.Rejected+w.Missing != 0 || w.Path != "relay" ||
			!strings.HasPrefix(w.LocalCandidate, "relay") {
			t.Errorf("exit %d, %+v, %s", o.code, w, o.stderr)
		}

		untrusting := newTerminal(t)
		untrusting.run(t, "pair", links["sim-0"]).fails(t,
			"cannot reach the relay at "+strings.TrimPrefix(url, "https://")+
				": its certificate is not trusted: x509: certificate signed by unknown authority")
	})

	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}
	for n, tt := range []struct{ browser, element string }{{"chromium", "video"}, {"firefox", "canvas"}} {
		t.Run(tt.browser, func(t *testing.T) {
			name := []string{"sim-1", "sim-2"}[n]
			r := drive{
				Browser:   tt.browser,
				Policy:    "plain",
				RelayOnly: true,
				TrustAll:  true,
				Steps: []step{
					{"open": links[name]}, {"wait": "playing", "cards": 1}, {"frames": 20}, {"path": true},
				},
			}.run(t)

			r.Cards[0].shows(t, name, clips[n+1].Background, tt.element)
			if r.Cards[0].Path != "Relayed" {
				t.Errorf("path %q", r.Cards[0].Path)
			}
		})
	}
}

// Both browsers are relayed where they find no direct path, over UDP or TCP, whichever reaches the relay.
func TestBrowserIsRelayed(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	links := startCameraSim(t, url, 2)
	clips, err := media.Clips()
	if err != nil {
		t.Fatal(err)
	}

	for n, tt := range []struct{ browser, element string }{{"chromium", "video"}, {"firefox", "canvas"}} {
		t.Run(tt.browser, func(t *testing.T) {
			name := []string{"sim-0", "sim-1"}[n]
			r := drive{Browser: tt.browser, Policy: "default", RelayOnly: true, Steps: []step{
				{"open": links[name]}, {"wait": "playing", "cards": 1}, {"frames": 20}, {"path": true},
			}}.run(t)
			r.Cards[0].shows(t, name, clips[n].Background, tt.element)
			if r.Cards[0].Path != "Relayed" {
				t.Errorf("path %q", r.Cards[0].Path)
			}
		})
	}
}
