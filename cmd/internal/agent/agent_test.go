package agent

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// Scripts can read the link and then its words. A viewer that has paired is also named by words.
func TestScriptsReadTheLinkAndItsWords(t *testing.T) {
	self, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	code, err := pairing.NewCode("https://relay.example", identity.Camera, self.Bundle(), time.Now())
	if err != nil {
		t.Fatal(err)
	}

	words := strings.Join(code.Words(), " ")
	lines := "pair front door " + code.URI() + "\nwords front door " + words + "\n"

	var out bytes.Buffer
	a := &Agent{board: newBoard(&out, io.Discard)}
	a.show("front door", code)
	if out.String() != lines {
		t.Errorf("to a script it prints %q, want %q", out.String(), lines)
	}

	out.Reset()
	viewer := self.Bundle().Fingerprint()
	a.paired("front door", viewer)
	want := "paired front door with viewer " + viewer.String() + " (" + strings.Join(pairing.DeviceWords(viewer), " ") +
		")\n"
	if out.String() != want {
		t.Errorf("it prints %q, want %q", out.String(), want)
	}
}

// Circuit relays are for a camera that may be found without its relay.
func TestCircuitRelaysWithoutLANAreRefused(t *testing.T) {
	f := Flags{Relay: "http://127.0.0.1:1", State: t.TempDir(), P2PRelays: []string{"/ip4/192.0.2.1/udp/4001"}}
	_, err := New(f, io.Discard, io.Discard)
	if want := "-p2p-relay has no effect with -lan=false: leave one of them out"; err == nil || err.Error() != want {
		t.Errorf("New returns %v, want %q", err, want)
	}
}
