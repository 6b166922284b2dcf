package viewer

import (
	"context"
	"errors"
	"testing"

	"github.com/peephole-cam/peephole/session"
)

// A person who reaches a camera by no way reads of all that were tried.
func TestUnreachedCameraNamesEveryWay(t *testing.T) {
	v, err := Open(Config{State: t.TempDir(), LAN: true})
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("cannot reach the relay at relay.example: connection refused")
	lan, all := aHostList(), aHostList()
	lan.Relays = nil
	for _, tt := range []struct {
		names session.HostList
		want  string
	}{
		{session.HostList{}, gone.Error()},
		{lan, gone.Error() + "; the camera does not answer on this network either: run viewer doctor"},
		{all, gone.Error() + "; the camera does not answer on this network or through its circuit relays either: " +
			"run viewer doctor"},
	} {
		l, err := v.newLink(t.Context(), only("https://relay.example"), new(turnRegions))
		if err != nil {
			t.Fatal(err)
		}
		l.names = tt.names

		l.observe(gone)
		l.refuse()
		for range relayTries {
			l.search.observe(l.search.relays[0], gone)
		}
		if err := l.reach(t.Context()); !errors.Is(err, gone) || err.Error() != tt.want {
			t.Errorf("%d names and %d circuit relays are known: %v\nwant %s", len(tt.names.Keys)/32,
				len(tt.names.Relays), err, tt.want)
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
	l, err := v.newLink(ctx, only("https://relay.example"), new(turnRegions))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.reach(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ends with %v", err)
	}
}
