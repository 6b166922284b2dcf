package viewer

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/peephole-cam/peephole/signaling"
)

// A person who reaches a camera by no way reads of all that were tried.
func TestUnreachedCameraNamesEveryWay(t *testing.T) {
	v, err := Open(Config{State: t.TempDir(), LAN: true})
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("cannot reach the relay at relay.example: connection refused")
	for ways, want := range []string{
		gone.Error(),
		gone.Error() + "; the camera does not answer on this network either: run viewer doctor",
		gone.Error() + "; the camera does not answer on this network or through its circuit relays either: " +
			"run viewer doctor",
	} {
		l, err := v.newLink(t.Context(), "https://relay.example")
		if err != nil {
			t.Fatal(err)
		}
		for range ways {
			client, err := signaling.NewClient(signaling.ClientConfig{
				URL:  "the camera",
				Dial: func(context.Context) (net.Conn, string, error) { return nil, "", errors.ErrUnsupported },
			})
			if err != nil {
				t.Fatal(err)
			}
			l.without = append(l.without, client)
		}

		l.observe(gone)
		l.refuse()
		if err := l.reach(t.Context()); !errors.Is(err, gone) || err.Error() != want {
			t.Errorf("beside the relay %d ways were tried: %v\nwant %s", ways, err, want)
		}
	}
}

// Whoever gives up waiting hears of no fault.
func TestGivingUpIsNoFault(t *testing.T) {
	v, err := Open(Config{State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := v.newLink(ctx, "https://relay.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.reach(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ends with %v", err)
	}
}
