//go:build linux

package nat

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// TestLargestIsWhatTheLineLetsThrough: in whichever direction the line is narrower.
func TestLargestIsWhatTheLineLetsThrough(t *testing.T) {
	t.Parallel()
	lab := natlab.New(t)
	a := newServer(t, lab.Public("a"))
	host := lab.Behind("host", natlab.PortRestricted)
	for _, tt := range []struct {
		name     string
		up, down natlab.Quality
		want     int
		err      error
	}{
		{"an Ethernet", natlab.Quality{}, natlab.Quality{}, 1500, nil},
		{"PPPoE", natlab.Quality{MTU: 1492}, natlab.Quality{MTU: 1492}, 1492, nil},
		{"a tunnel that takes what is sent", natlab.Quality{MTU: 1385}, natlab.Quality{}, 1380, nil},
		{"a tunnel that takes what comes", natlab.Quality{}, natlab.Quality{MTU: 1200}, 1200, nil},
		{"nothing", natlab.Quality{MTU: 100}, natlab.Quality{}, 0, ErrSilent},
	} {
		host.Network().Impair(tt.up, tt.down)
		got, err := newTestSocket(t, host).Largest(t.Context(), a.first)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, got, err, tt.want, tt.err)
		}
	}

	host.Network().Impair(natlab.Quality{}, natlab.Quality{})
	if got, err := newTestSocket(t, host).Largest(t.Context(), a.old); !errors.Is(err, ErrNoPadding) {
		t.Errorf("a server that pads no answer: %d, %v", got, err)
	}

	nobody := netip.AddrPortFrom(a.first.Addr(), 9)
	if got, err := newTestSocket(t, host).Largest(t.Context(), nobody); !errors.Is(err, ErrSilent) {
		t.Errorf("no server: %d, %v", got, err)
	}
}
