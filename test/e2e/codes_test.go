package e2e

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// Whatever is wrong with a pairing code, the terminal says what, and what to do.
func TestPairingSentences(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	sim := start(t, "camera-sim", "-relay", url, "-state", t.TempDir())
	used := sim.line(t, "pair sim-0 ")
	newTerminal(t).pair(t, used)
	fresh := sim.line(t, "pair sim-0 ")

	// At once: on a busy machine the other rows may take longer than the camera remembers a code.
	newTerminal(t).run(t, "pair", used).fails(t,
		"pair: this code has already been used: show a new one on the other device")

	for _, tt := range []struct{ name, link, sentence string }{
		{"torn", used[:len(used)-5], "pair: this code is damaged or incomplete: scan it again, or copy the whole link"},
		{"one letter wrong", flip(used),
			"pair: this code is damaged or incomplete: scan it again, or copy the whole link"},
		{"foreign", "https://shop.example/menu", "pair: this is not a Peephole pairing code"},
		{"empty", "", "pair: this is not a Peephole pairing code"},
		{"newer", newer(t, used), "pair: this code is from a newer Peephole: update this app"},
		{"another viewer's", codeOf(t, url, identity.Viewer, time.Hour),
			"pair: this code is another viewer's, not a camera's"},
		{"expired", codeOf(t, url, identity.Camera, -time.Minute),
			"pair: this code has expired: show a new one on the other device"},
		{"nobody there", codeOf(t, url, identity.Camera, time.Hour),
			"pair: no device is waiting at this code: it was used, has expired, or the device restarted; " +
				"show a new one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			newTerminal(t).run(t, "pair", tt.link).fails(t, tt.sentence)
		})
	}

	t.Run("camera stopped", func(t *testing.T) {
		sim.stop()
		newTerminal(t).run(t, "pair", fresh).fails(t,
			"pair: no device is waiting at this code: it was used, has expired, or the device restarted; "+
				"show a new one")
	})
}

// A camera whose set-up window is closed shows no code. When the window closes over a code, that code pairs nobody any
// more.
func TestClosedWindowShowsNoCode(t *testing.T) {
	t.Parallel()
	url := startRelayCommand(t)
	closed := start(t, "camera-sim", "-relay", url, "-state", t.TempDir(), "-pair-window", "0")
	closed.await(t, "connected to the relay", 1)
	closed.stop()
	for line := range closed.lines {
		t.Errorf("a camera whose window is closed printed %q", line)
	}

	closing := start(t, "camera-sim", "-relay", url, "-state", t.TempDir(), "-pair-window", "1s")
	link := closing.line(t, "pair sim-0 ")
	closing.await(t, "the set-up window has closed: restart the camera to open it again", 1)
	newTerminal(t).run(t, "pair", link).fails(t,
		"pair: no device is waiting at this code: it was used, has expired, or the device restarted; show a new one")
}

// flip changes a letter near the end of a link's secret part, so that its length is right and its checksum wrong.
func flip(link string) string {
	i := len(link) - 20
	letter := "A"
	if link[i] == 'A' {
		letter = "B"
	}
	return link[:i] + letter + link[i+1:]
}

// newer returns the link with the next version's number.
func newer(t *testing.T, link string) string {
	t.Helper()
	relay, encoded, _ := strings.Cut(link, "#")
	payload, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}

	payload[0]++

	return relay + "#" + base64.RawURLEncoding.EncodeToString(payload)
}

// codeOf returns a good code of a device that does not exist.
func codeOf(t *testing.T, url string, role identity.Role, life time.Duration) string {
	t.Helper()
	device, err := identity.LoadOrCreate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	code, err := pairing.NewCode(url, role, device.Bundle(), time.Now().Add(life))
	if err != nil {
		t.Fatal(err)
	}
	return code.URI()
}
