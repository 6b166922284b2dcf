package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/signaling"
)

// A removed viewer loses its TURN allocation, and cannot use a credential that it has left.
func TestRemovedViewerKeepsNoPlaceAtTURN(t *testing.T) {
	state := t.TempDir()
	ticket := issueTicket(t, state)
	s := serveRelay(t, "-state", state, "-admission", "ticket")
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	theirs := signaling.Mailbox{Read: key, Write: key}
	ours := theirs
	ours.Ticket = ticket
	camera, viewer := clientOf(t, s.url), clientOf(t, s.url)
	defer camera.Keep(ours)()

	if err := camera.Send(t.Context(), ours, []byte("admitted"), time.Minute); err != nil {
		t.Fatal(err)
	}
	g, err := viewer.Grant(t.Context(), theirs, "")
	if err != nil {
		t.Fatal(err)
	}

	at, _, _ := strings.Cut(strings.TrimPrefix(g.URLs[1], "turn:"), "?")
	outside := &household{ctx: t.Context(), turn: at}
	end, err := outside.allocate("tcp", g.Viewer)
	if err != nil {
		t.Fatal(err)
	}
	defer end.conn.Close()

	if err := camera.Revoke(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	if _, err := end.ask(stun.MethodRefresh); err == nil {
		t.Error("the removed viewer could refresh its allocation")
	}

	if other, err := outside.allocate("tcp", g.Camera); err == nil {
		other.conn.Close()
		t.Error("the other credential could still make an allocation")
	}
}

// The relay cuts off the clients that still have an allocation at the end of -drain, and logs that.
func TestClientsAreCutOffAfterTheDrain(t *testing.T) {
	s := serveRelay(t, "-drain", "50ms")
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	g, err := clientOf(t, s.url).Grant(t.Context(), signaling.Mailbox{Read: key, Write: key}, "")
	if err != nil {
		t.Fatal(err)
	}
	at, _, _ := strings.Cut(strings.TrimPrefix(g.URLs[0], "turn:"), "?")
	end, err := (&household{ctx: t.Context(), turn: at}).allocate("udp", g.Viewer)
	if err != nil {
		t.Fatal(err)
	}
	defer end.conn.Close()

	s.stop()
	if want := `msg="clients of TURN are cut off" allocations=1`; !strings.Contains(s.log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, s.log)
	}
}
