//go:build linux

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/test/natlab"
)

// surroundings are the networks that both ends have beside their own.
type surroundings struct {
	homes, away    natlab.Kind // the camera's own network and the viewer's
	camera, viewer int
	addressing     natlab.Addressing
}

func (s surroundings) String() string {
	return fmt.Sprintf("%s with %d and %s with %d, %s", s.homes.Name, s.camera, s.away.Name, s.viewer,
		s.addressing.Name)
}

// stage makes a scene in which both ends have all their networks.
func (s surroundings) stage(t testing.TB) *scene {
	t.Helper()
	natlab.Need(t)
	sc := &scene{lab: natlab.New(t)}
	sc.surround = func() {
		sc.home.Surround(s.camera, s.addressing)
		sc.person.Surround(s.viewer, s.addressing)
	}
	sc.relayHost = sc.lab.Public("relay")
	sc.stage(t, s.homes, s.away, "camera-sim")
	sc.pair(t)

	return sc
}

const (
	// maxPairs bounds the candidate pairs of a session, however many networks its ends have: four host candidates of
	// each IP version, and what servers and checks add.
	maxPairs = 160
	// maxSilentChecks is how many checks a pair gets that does not answer, and one more for every second.
	maxSilentChecks = 8
)

// With many networks at both ends the picture takes the path that theory allows, the relay is a candidate of both, and
// neither the pairs nor the checks of a pair grow with the number of networks.
func TestPairsDoNotGrowWithNetworks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		surroundings
		path string
	}{
		{surroundings{natlab.DualStack, natlab.DualStack, 30, 30, natlab.PrivateDual}, "direct"},
		{surroundings{natlab.PortRestricted, natlab.PortRestricted, 60, 3, natlab.PrivateIPv4}, "direct"},
		{surroundings{natlab.SymmetricRandom, natlab.SymmetricRandom, 10, 30, natlab.LinkLocal}, "relay"},
		{surroundings{natlab.PortRestricted, natlab.NAT64, 3, 10, natlab.PrivateDual}, "direct"},
	} {
		t.Run(tt.String(), func(t *testing.T) {
			t.Parallel()
			s := tt.stage(t)
			wire, began := s.person.Record(), time.Now()
			w, code := s.onceBy(t, tt.path, untilSettled)
			took := time.Since(began)
			if code != 0 || w.Error != "" || w.Missing > 0 || w.Path != tt.path {
				t.Errorf("exit %d, path %q, %d frames missing, %s; want path %q and all frames", code, w.Path,
					w.Missing, w.Error, tt.path)
			}

			pairs := 0
			for _, c := range w.Explain.Checks {
				pairs += c.Pairs
			}
			if pairs == 0 || pairs > maxPairs {
				t.Errorf("%d pairs, want at most %d", pairs, maxPairs)
			}

			for side, e := range map[string]end{"own": w.Explain.Own, "other": w.Explain.Other} {
				if c := e.Candidates; c["relay4"] == 0 || c["host4"] > 4 || c["host6"] > 4 {
					t.Errorf("%s candidates are %v, want a relayed one and at most 4 hosts of each IP version", side, c)
				}
			}

			sent, answered := checksOn(wire)
			total := 0
			for pair, n := range sent {
				total += n
				if most := maxSilentChecks + 1 + int(took/time.Second); !answered[pair] && n > most {
					t.Errorf("%d checks from %s to %s, which was silent; want at most %d", n, pair[0], pair[1], most)
				}
			}

			t.Logf("%s: first picture after %.0f ms, stream after %.0f; %d pairs, %d checks left the viewer", w.Path,
				w.TTFF, w.Stream, pairs, total)
		})
	}
}

// checksOn counts the checks that left a host, by pair, and reports by which pairs any ICE packet came back.
func checksOn(wire *natlab.Recording) (sent map[[2]netip.AddrPort]int, answered map[[2]netip.AddrPort]bool) {
	sent, answered = make(map[[2]netip.AddrPort]int), make(map[[2]netip.AddrPort]bool)
	for _, p := range wire.Packets() {
		if p.Protocol != natlab.UDP {
			continue
		}
		header := 28
		if p.Src.Addr().Is6() {
			header = 48
		}

		if len(p.Data) < header || !stun.IsMessage(p.Data[header:]) {
			continue
		}
		m := stun.Message{Raw: p.Data[header:]}
		switch {
		case m.Decode() != nil:
		case !p.Out:
			answered[[2]netip.AddrPort{p.Dst, p.Src}] = true
		case m.Type == stun.BindingRequest && m.Contains(stun.AttrUsername): // a STUN server is asked without
			sent[[2]netip.AddrPort{p.Src, p.Dst}]++
		}
	}

	return sent, answered
}

// BenchmarkManyNetworks starts sessions between ends with more and more networks, and after each one a session between
// plain ends, so that a busy machine slows both. It fails where many networks cost more than a second.
func BenchmarkManyNetworks(b *testing.B) {
	var table strings.Builder
	table.WriteString("| networks beside their own | camera and viewer | first picture | stream | plain hosts' | " +
		"worst | pairs | failed |\n|---|---|---|---|---|---|---|---|\n")
	for _, a := range []struct {
		kind       natlab.Kind
		addressing natlab.Addressing
	}{
		{natlab.PortRestricted, natlab.PrivateIPv4},
		{natlab.DualStack, natlab.PrivateDual},
		{natlab.PortRestricted, natlab.LinkLocal},
	} {
		plain := surroundings{homes: a.kind, away: a.kind}.stage(b)
		for _, n := range []int{3, 10, 30, 60} {
			for _, ends := range [][2]int{{n, 0}, {0, n}, {n, n}} {
				s := surroundings{a.kind, a.kind, ends[0], ends[1], a.addressing}
				b.Run(s.String(), func(b *testing.B) { s.measure(b, plain, &table) })
			}
		}
	}
	fmt.Print("\n", table.String()) // nothing prints the log of a benchmark that contains others
}

// networkStarts is the number of sessions behind each of a benchmark's medians.
const networkStarts = 5

func (s surroundings) measure(b *testing.B, plain *scene, table *strings.Builder) {
	many := s.stage(b)
	var first, stream, beside []float64
	pairs, failed := 0, 0
	for range networkStarts {
		if w, code := plain.once(b, "10"); code == 0 {
			beside = append(beside, w.Stream)
		}
		w, code := many.once(b, "10")
		if code != 0 || w.Error != "" || w.Missing > 0 {
			b.Logf("exit %d, %d missing, %s", code, w.Missing, w.Error)
			failed++
			continue
		}

		first, stream = append(first, w.TTFF), append(stream, w.Stream)
		n := 0
		for _, c := range w.Explain.Checks {
			n += c.Pairs
		}
		pairs = max(pairs, n)
	}

	if len(stream) == 0 || len(beside) == 0 {
		b.Fatalf("no session came: %d failed", failed)
	}

	ours, theirs := percentile(stream, 50), percentile(beside, 50)
	if failed > 0 || ours > theirs+1000 {
		b.Errorf("%d of %d failed; the stream began after %.0f ms, plain hosts' after %.0f", failed, networkStarts,
			ours, theirs)
	}

	b.ReportMetric(ours, "ms")
	b.ReportMetric(ours/theirs, "times-plain")
	fmt.Fprintf(table, "| %s | %d and %d | %.0f ms | %.0f ms | %.0f ms | %.0f ms | %d | %d of %d |\n",
		s.addressing.Name, s.camera, s.viewer, percentile(first, 50), ours, theirs, percentile(stream, 100), pairs,
		failed, networkStarts)
}
