package doctor

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

func TestLinesOfTheLAN(t *testing.T) {
	found := func(err error) Finding { return Camera{Name: "porch"}.finding(err) }
	for _, l := range []line{
		{"it answers", found(nil), "on this network: yes, so you can watch it here without the relay"},
		{"silence", found(fmt.Errorf("find camera on the LAN: %w", context.DeadlineExceeded)),
			"on this network: no, because nothing answers by its names: the camera is elsewhere, off or set to " +
				"-lan=false, or this network keeps its devices apart, as guest networks do"},
		{"no socket", found(errors.New("set up QUIC: too many open files")),
			"on this network: unknown, because this machine cannot search it: set up QUIC: too many open files"},
	} {
		l.check(t)
		if l.Check != "lan" || l.Camera != "porch" || l.Verdict == Bad {
			t.Errorf("%s: %+v", l.name, l.Finding)
		}
	}
}

// All cameras are looked for at once, in their order, and none of them for longer than three seconds.
func TestSearchOfTheLANEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		began := time.Now()
		silent := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		here := func(context.Context) error { return nil }
		findings := checkLAN(t.Context(), []Camera{{"porch", silent}, {"yard", here}, {"attic", silent}})

		var got string
		for _, f := range findings {
			got += f.Camera + " " + f.Value + ", "
		}
		if took := time.Since(began); got != "porch no, yard yes, attic no, " || took != 3*time.Second {
			t.Errorf("found %q in %v", got, took)
		}
	})
}
