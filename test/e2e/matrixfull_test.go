//go:build linux && natmatrix

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/natlab"
)

const (
	// matrixTimes is how often each pair of networks is watched.
	matrixTimes = 5
	// matrixAttempts is how many attempts DCUtR has there. A go-libp2p relay allows one address 8 connections, and each
	// host may cause some, when it asks whether it can be reached.
	matrixAttempts = 3
	// matrixWait is how long an attempt may take: DCUtR tries three times, 5 s each.
	matrixWait = 20 * time.Second
)

// matrixKinds returns the kinds of networks that NAT_MATRIX_KINDS names, separated by semicolons, or all.
func matrixKinds(t *testing.T) (kinds []natlab.Kind, all bool) {
	t.Helper()
	kinds = natlab.Kinds()
	names := os.Getenv("NAT_MATRIX_KINDS")
	if names == "" {
		return kinds, true
	}
	wanted := strings.Split(names, ";")
	kinds = slices.DeleteFunc(kinds, func(k natlab.Kind) bool { return !slices.Contains(wanted, k.Name) })
	if len(kinds) != len(wanted) {
		t.Fatalf("NAT_MATRIX_KINDS is %q, which names %d kinds", names, len(kinds))
	}
	return kinds, false
}

// TestNATMatrix measures every kind of network with every other, several at a time, and writes the tables to the file
// that NAT_MATRIX names: see make nat-matrix. With some kinds only, it replaces the comparison with DCUtR and nothing
// else. It has a build tag of its own because it takes longer than all other tests together.
func TestNATMatrix(t *testing.T) {
	file := os.Getenv("NAT_MATRIX")
	if file == "" {
		t.Fatal("NAT_MATRIX names no file: say make nat-matrix")
	}
	kinds, all := matrixKinds(t)
	m := make(matrix, 0, len(kinds)*len(kinds))
	for _, camera := range kinds {
		for _, viewer := range kinds {
			m = append(m, cell{camera: camera, viewer: viewer})
		}
	}

	t.Run("cells", func(t *testing.T) {
		for i := range m {
			c := &m[i]
			t.Run(c.camera.Name+" to "+c.viewer.Name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, c.camera, c.viewer)
				d := startDCUtR(t, s.relayHost, s.home, s.person, matrixAttempts, matrixWait)
				d.settle(t) // so that it is idle while ours are measured
				c.measure(t, s, matrixTimes)
				c.punched = d.run(t)
				t.Logf("%s; beside DCUtR: %s", c.text(), c.beside())
			})
		}
	})

	text := strings.NewReplacer("CELLS\n", m.table(kinds, (*cell).text), "WRONG\n", m.wrong()).Replace(matrixText)
	if !all {
		text = before(t, file, comparisonTitle)
	}
	text += strings.NewReplacer("CELLS\n", m.table(kinds, (*cell).beside), "COUNTS\n", m.comparison().text(all)).
		Replace(comparisonTitle + comparisonText)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if all && !m.comparison().better() {
		t.Error("DCUtR connects pairs that ICE does not: decide again which one finds the path for media")
	}
}

// before returns what a file says before a title.
func before(t *testing.T, file, title string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), title)
	return strings.TrimRight(head, "\n") + "\n\n"
}

// matrix has a row of cells for each of the camera's networks.
type matrix []cell

// table returns a table of what text says about each cell.
func (m matrix) table(kinds []natlab.Kind, text func(*cell) string) string {
	var out strings.Builder
	out.WriteString("| camera ╲ viewer |")
	for _, k := range kinds {
		fmt.Fprintf(&out, " %s |", k.Name)
	}

	out.WriteString("\n|---|" + strings.Repeat("---|", len(kinds)) + "\n")
	for row := range slices.Chunk(m, len(kinds)) {
		fmt.Fprintf(&out, "| **%s** |", row[0].camera.Name)
		for _, c := range row {
			fmt.Fprintf(&out, " %s |", text(&c))
		}
		out.WriteString("\n")
	}
	return out.String()
}

// wrong lists the cells that differ from theory.
func (m matrix) wrong() string {
	var out strings.Builder
	for _, c := range m {
		if c.path != c.theory() || c.failed > 0 {
			fmt.Fprintf(&out, "- %s to %s: theory says %s, seen %s, %d of %d failed\n", c.camera.Name,
				c.viewer.Name, c.theory(), c.path, c.failed, matrixTimes)
		}
	}
	if out.Len() > 0 {
		return out.String()
	}
	return "Nowhere: every pair that is traversable in theory goes direct, every other pair is relayed, and none\n" +
		"fails.\n"
}

func (c *cell) text() string {
	if len(c.first) == 0 {
		return "**failed**"
	}
	return fmt.Sprintf("%s %.0f / %.0f ms", c.path, percentile(c.first, 50), percentile(c.stream, 50))
}

// beside returns how long ICE and DCUtR took, and how often they got there if that was not always or never.
func (c *cell) beside() string {
	return often(c.direct, matrixTimes) + " / " + often(c.punched, matrixAttempts)
}

// often tells how long those of some attempts took that ended in a direct connection.
func often(direct []float64, of int) string {
	switch len(direct) {
	case 0:
		return "no"
	case of:
		return fmt.Sprintf("%.0f", percentile(direct, 50))
	}
	return fmt.Sprintf("%.0f (%d of %d)", percentile(direct, 50), len(direct), of)
}

// comparison counts pairs of networks by what goes direct between them.
type comparison struct {
	both, ice, dcutr, neither int
	iceTook, dcutrTook        []float64 // medians of the pairs that both connect
}

func (m matrix) comparison() (out comparison) {
	for _, c := range m {
		ice, dcutr := len(c.direct) > matrixTimes/2, len(c.punched) > matrixAttempts/2 // most attempts
		switch {
		case ice && dcutr:
			out.both++
			out.iceTook = append(out.iceTook, percentile(c.direct, 50))
			out.dcutrTook = append(out.dcutrTook, percentile(c.punched, 50))
		case ice:
			out.ice++
		case dcutr:
			out.dcutr++
		default:
			out.neither++
		}
	}
	return out
}

// better reports whether ICE connects all pairs that DCUtR does, and more.
func (c comparison) better() bool { return c.ice > 0 && c.dcutr == 0 }

func (c comparison) text(all bool) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Of %d pairs, %d go direct with ICE and with DCUtR, %d with ICE alone, %d with DCUtR alone,\n",
		c.both+c.ice+c.dcutr+c.neither, c.both, c.ice, c.dcutr)
	fmt.Fprintf(&out, "and %d with neither.", c.neither)
	if c.both > 0 {
		fmt.Fprintf(&out, " Where both do, the median pair takes %.0f ms with ICE and %.0f ms with DCUtR.",
			percentile(c.iceTook, 50), percentile(c.dcutrTook, 50))
	}

	if c.better() {
		out.WriteString("\nICE finds every direct path that DCUtR finds, and more, so DCUtR stays out of the path " +
			"for media.")
	}
	if !all {
		out.WriteString("\nThis comparison is of some kinds only, from a run of its own.")
	}
	out.WriteString("\n")
	return out.String()
}

const matrixText = `<!-- Written by make nat-matrix. Do not edit. -->
# Through any network

The camera is behind every kind of network, each time with the viewer behind every kind. The real
relay, camera-sim and viewer run on hosts of their own, behind real routers. The routers
(test/natlab) are Linux's own NAT if it has the behaviour, and a translator of ours if not; that
package's tests measure what each kind does.

Each cell shows the path of the session after 40 frames, or after 300 if ports have to be guessed,
because such a session begins relayed. Then it shows two medians of five sessions, in milliseconds:
the time to the first picture, which comes sealed through signaling, and the time to the first frame
of the stream. Both include the connection to the relay. Several pairs were measured at a time,
without line delay.

CELLS

## Where it differs from theory
Theory is natlab.Traversable: both ends know their addresses by STUN, and both send. If that is not
enough, theory is natlab.Guessable: both ends guess ports (nat/punch), which fails by chance 3 times
in 10,000.

WRONG

`

const comparisonTitle = "## Beside DCUtR\n"

const comparisonText = `go-libp2p punches holes too: DCUtR, here over QUIC. Its stock hosts (test/dcutr) ran beside the
sessions, at the same addresses and behind the same routers. They had as many relays, at addresses
of their own, and as long as they needed to learn how others see them and which of their addresses
can be reached: some ten seconds, which are not counted.

Each cell shows the medians of five sessions with ICE and of three attempts with DCUtR, in
milliseconds, from the connection to the relay to a direct path. Where only some got one, it shows
how many. An attempt of DCUtR begins with the dial of the camera's address at its relay, and ends
after 20 s. A session with ICE begins with the question for TURN servers, and exchanges sealed
messages; if ports have to be guessed, it is relayed until then.

DCUtR takes 5 s longer where it dials an address in vain before it punches a hole: AutoNAT calls a
restricted cone reachable, because its router lets in all ports of a server that it knows. It takes
15 s where only the last of its three tries can succeed, for which the ends of QUIC change roles.

CELLS

COUNTS
`
