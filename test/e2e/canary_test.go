package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// tape records everything that passes a relay: what its sockets receive and send, and what it logs.
type tape struct {
	mu   sync.Mutex
	data bytes.Buffer // guarded by mu
}

func (p *tape) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data.WriteByte(0) // so that no match spans two pieces
	return p.data.Write(b)
}

// find returns the needles that are on the tape, in the clear or in a common encoding.
func (p *tape) find(needles []string) (found []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range needles {
		for _, form := range forms(n) {
			if bytes.Contains(p.data.Bytes(), form) {
				found = append(found, fmt.Sprintf("%q (as %q)", n, form))
			}
		}
	}

	return found
}

// forms returns the ways in which a careless program could write a text: as it is, in hex, and in base64 at each of the
// three alignments, without the characters that depend on its neighbours.
func forms(text string) [][]byte {
	forms := [][]byte{[]byte(text), []byte(hex.EncodeToString([]byte(text)))}
	for shift := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := encoding.EncodeToString(append(make([]byte, shift), text...))
			forms = append(forms, []byte(encoded[(shift*8+5)/6:len(encoded)-1]))
		}
	}

	return forms
}

// sdpWords occur in every session description and candidate (RFC 8866, RFC 8839).
var sdpWords = []string{"candidate:", "a=candidate", "a=fingerprint", "a=ice-ufrag", "ice-pwd", "m=video", "typ host",
	"typ srflx", "typ relay", "v=0\r\n", "sha-256 "}

// Nothing of the picture, the camera's name, a session description or a candidate appears in anything that a relay
// receives, sends, stores or logs: promise 1.
func TestRelaySeesNothingOfASession(t *testing.T) {
	t.Parallel()
	p := &tape{}
	c := startCloud(t, evilcloud.Config{Tape: p})
	const name = "canary of the garden shed"
	camera := startCamera(t, c, name, 0)
	v := pair(t, camera)

	for _, relayOnly := range []bool{false, true} {
		s, err := watch(t, v, name, camera.Mark, 30, patience, relayOnly)
		if err != nil || s.frames != 30 || s.foreign != 0 {
			t.Fatalf("%+v, %v; want 30 frames", s, err)
		}
	}

	needles := append([]string{name, camera.Mark, "household of"}, sdpWords...)
	if found := p.find(needles); len(found) > 0 {
		t.Errorf("the relay saw %s", strings.Join(found, ", "))
	}
	p.mu.Lock()
	size := p.data.Len()
	p.mu.Unlock()
	if size < 50_000 {
		t.Errorf("only %d bytes on the tape: the test proves nothing", size)
	}
	t.Run("planted leaks are found", func(t *testing.T) { plantLeaks(t, c, p, camera, name) })
}

// plantLeaks sends what must not be sent, over every path to a relay, and checks that the search finds it.
func plantLeaks(t *testing.T, c *evilcloud.Cloud, p *tape, camera *household, name string) {
	client, err := signaling.NewClient(signaling.ClientConfig{URL: c.URLs()[0], Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client.Run)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	box := envelope.Rendezvous(secret(t), 1)
	mailbox := signaling.Mailbox{Read: box.Read, Write: box.Write}
	for _, leak := range []string{camera.Mark, "xx" + name, "a=candidate:1 1 udp 1 192.0.2.1 9 typ host"} {
		for _, form := range forms(leak)[:3] {
			if err := client.Send(ctx, mailbox, form, 0); err != nil {
				t.Fatal(err)
			}
		}
		if len(p.find([]string{leak})) == 0 {
			t.Errorf("%q was posted and not found", leak)
		}
	}

	_, turn := c.Addresses()
	udp, err := net.Dial("udp4", turn[0])
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()

	if _, err := udp.Write([]byte("datagram with a leak: m=video")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a leak in a datagram is found", func() bool {
		return len(p.find([]string{"datagram with a leak: m=video"})) > 0
	})
	slog.New(slog.NewTextHandler(p, nil)).Info("a leak in a log", "camera", "log of "+name)
	if len(p.find([]string{"log of " + name})) == 0 {
		t.Error("a leak in the log was not found")
	}
}
