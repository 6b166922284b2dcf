package viewer

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/signalingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flood serves a relay that answers nothing and delivers without end to every mailbox that is opened: first, then anything.
func flood(t *testing.T, first <-chan []byte) (url string) {
	t.Helper()
	return signalingtest.Serve(t, func(c signalingtest.Conn) {
		c.Say(signaling.Challenge{Time: uint64(time.Now().UnixMilli())})
		for {
			f, err := c.Read()
			if err != nil {
				return
			}
			if open, ok := f.(signaling.Open); ok && open.Access == signaling.Read {
				name := signaling.NameOf(open.ReadKey, open.WriteKey)
				for body, seq := <-first, uint64(0); c.Say(signaling.Deliver{Name: name, Seq: seq, Body: body}); seq++ {
					body = []byte{9}
				}
			}
		}
	})
}

// A relay that floods and answers nothing cannot keep a pairing from ending.
func TestPairingEndsUnderFlood(t *testing.T) {
	camera, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan []byte, 1)
	displayer, err := pairing.NewDisplayer(camera, identity.Camera, flood(t, first), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	first <- displayer.Hello() // which the scanner answers, and waits for the relay's word
	v, err := Open(Config{State: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { _, err := v.Pair(ctx, displayer.Code().URI()); ended <- err }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("paired with nobody")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("pairing never ends")
	}
}

func TestFullQueueDropsAndGoesOn(t *testing.T) {
	q := make(chan []byte, 1)
	if !queue(q, []byte{1}) || queue(q, []byte{2}) {
		t.Error("a full queue takes more, or an empty one nothing")
	}
}

// A camera's name is shown on a terminal.
func TestCameraNameIsPrintable(t *testing.T) {
	w, err := parseWelcome([]byte(`{"name":"front\u001b[2J door"}`))
	if err != nil || w.Name != "front?[2J door" {
		t.Errorf("name %q, %v", w.Name, err)
	}
}
