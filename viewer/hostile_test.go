package viewer

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/noleak"
	"github.com/peephole-cam/peephole/test/signalingtest"
)

func TestMain(m *testing.M) { noleak.Main(m) }

// flood serves a relay that answers nothing and delivers without end to every open mailbox: first a message from the
// test, then nonsense.
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

// A relay that floods the viewer and answers nothing cannot keep a pairing from ending.
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

	first <- displayer.Hello() // the scanner replies, and waits for the relay to confirm
	v, err := Open(Config{State: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()

	ended := make(chan error, 1)
	go func() { _, err := v.Pair(ctx, displayer.Code()); ended <- err }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("paired, although nobody answered")
		}
	case <-time.After(time.Minute):
		t.Fatal("pairing does not end")
	}
}

func TestFullQueueDropsAndGoesOn(t *testing.T) {
	q := make(chan signaling.Delivery, 1)
	if !enqueue(q, signaling.Delivery{Body: []byte{1}}) || enqueue(q, signaling.Delivery{Body: []byte{2}}) {
		t.Error("a full queue accepts more, or an empty one accepts nothing")
	}
}

// A camera's name may be shown on a terminal.
func TestCameraNameIsPrintable(t *testing.T) {
	w, err := parseWelcome([]byte(`{"name":"front\u001b[2J door"}`))
	if err != nil || w.Name != "front?[2J door" {
		t.Errorf("name %q, %v", w.Name, err)
	}
}

// If the relay delivers messages that are not from the camera, the person hears of it, and so does the relay: once for
// each message whose sender did not have the code.
func TestPairingUnderMisdelivery(t *testing.T) {
	camera, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	rejected := make(chan uint64, 10)
	bodies := make(chan []byte, 2)

	url := signalingtest.Serve(t, func(c signalingtest.Conn) {
		c.Say(signaling.Challenge{Time: uint64(time.Now().UnixMilli())})
		for {
			f, err := c.Read()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case signaling.Open:
				if f.Access == signaling.Read {
					name := signaling.NameOf(f.ReadKey, f.WriteKey)
					c.Say(signaling.Deliver{Name: name, Seq: 1, Body: <-bodies})
					c.Say(signaling.Deliver{Name: name, Seq: 2, Body: <-bodies})
				}
			case signaling.Reject:
				rejected <- f.Seq
			}
		}
	})

	displayer := func() *pairing.Displayer {
		d, err := pairing.NewDisplayer(camera, identity.Camera, url, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}

	ours, theirs := displayer(), displayer()
	bodies <- theirs.Hello()
	bodies <- theirs.Used()
	v, err := Open(Config{State: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := v.Pair(t.Context(), ours.Code()); !errors.Is(err, pairing.ErrInvalid) {
		t.Errorf("Pair returns %v, want %v", err, pairing.ErrInvalid)
	}
	for _, want := range []uint64{1, 2} {
		select {
		case got := <-rejected:
			if got != want {
				t.Errorf("rejected %d, want %d", got, want)
			}
		default:
			t.Errorf("%d is not rejected", want)
		}
	}
}
