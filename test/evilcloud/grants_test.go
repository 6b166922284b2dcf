package evilcloud

import (
	"slices"
	"testing"

	"github.com/peephole-cam/peephole/signaling"
)

// Each fault of granting hands out something of another session's.
func TestFaultsOfGrantsMixSessions(t *testing.T) {
	c, a, b := startWithTwoDevices(t)
	ask := func(d *device) signaling.Grant {
		g, err := d.Grant(t.Context(), d.box, "")
		if err != nil {
			t.Fatal(err)
		}
		return g
	}

	ours, theirs := ask(a), ask(b)
	for _, tt := range []struct {
		name  string
		fault Grants
		wrong func(g signaling.Grant) bool
	}{
		{"credentials", SwapCredentials, func(g signaling.Grant) bool {
			return g.Viewer == theirs.Viewer && g.Camera != theirs.Camera
		}},
		{"servers", SwapServers, func(g signaling.Grant) bool {
			return slices.Equal(g.URLs, theirs.URLs) && g.Viewer != theirs.Viewer
		}},
		{"shared", ShareGrants, func(g signaling.Grant) bool {
			return slices.Equal(g.URLs, theirs.URLs) && g.Viewer == theirs.Viewer && g.Camera == theirs.Camera
		}},
	} {
		n := c.Counts().Grants
		c.SetGrants(tt.fault)
		if g := ask(a); !tt.wrong(g) || c.Counts().Grants != n+1 {
			t.Errorf("%s: granted %+v, counted %d", tt.name, g, c.Counts().Grants-n)
		}
	}

	c.Heal()
	if g := ask(a); !slices.Equal(g.URLs, ours.URLs) || g.Viewer == theirs.Viewer {
		t.Errorf("after the fault: %+v", g)
	}
}
