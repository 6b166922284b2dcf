//go:build linux && natmatrix

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// matrixTimes is how often each pair of networks is watched.
const matrixTimes = 5

// TestNATMatrix measures every kind of network with every other, several at a time, and writes the table to the file
// that NAT_MATRIX names: see make nat-matrix. It has a build tag of its own because it takes longer than all other
// tests together.
func TestNATMatrix(t *testing.T) {
	file := os.Getenv("NAT_MATRIX")
	if file == "" {
		t.Fatal("NAT_MATRIX names no file: say make nat-matrix")
	}
	kinds := natlab.Kinds()
	cells := make([]cell, 0, len(kinds)*len(kinds))
	for _, camera := range kinds {
		for _, viewer := range kinds {
			cells = append(cells, cell{camera: camera, viewer: viewer})
		}
	}

	t.Run("cells", func(t *testing.T) {
		for i := range cells {
			c := &cells[i]
			t.Run(c.camera.Name+" to "+c.viewer.Name, func(t *testing.T) {
				t.Parallel()
				c.measure(t, matrixTimes)
				t.Log(c.text())
			})
		}
	})

	var table, wrong strings.Builder
	table.WriteString("| camera ╲ viewer |")
	for _, k := range kinds {
		fmt.Fprintf(&table, " %s |", k.Name)
	}

	table.WriteString("\n|---|" + strings.Repeat("---|", len(kinds)) + "\n")
	for row := range slices.Chunk(cells, len(kinds)) {
		fmt.Fprintf(&table, "| **%s** |", row[0].camera.Name)
		for _, c := range row {
			fmt.Fprintf(&table, " %s |", c.text())
			if c.path != c.theory() || c.failed > 0 {
				fmt.Fprintf(&wrong, "- %s to %s: theory says %s, seen %s, %d of %d failed\n", c.camera.Name,
					c.viewer.Name, c.theory(), c.path, c.failed, matrixTimes)
			}
		}
		table.WriteString("\n")
	}

	if wrong.Len() == 0 {
		wrong.WriteString("Nowhere: every pair that is traversable in theory goes direct, every other pair " +
			"is relayed, and none\nfails.\n")
	}
	text := strings.Replace(matrixText, "TABLE\n", table.String(), 1)
	if err := os.WriteFile(file, []byte(strings.Replace(text, "WRONG\n", wrong.String(), 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (c *cell) text() string {
	if len(c.first) == 0 {
		return "**failed**"
	}
	return fmt.Sprintf("%s %.0f / %.0f ms", c.path, percentile(c.first, 50), percentile(c.stream, 50))
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

TABLE

## Where it differs from theory
Theory is natlab.Traversable: both ends know their addresses by STUN, and both send. If that is not
enough, theory is natlab.Guessable: both ends guess ports (nat/punch), which fails by chance 3 times
in 10,000.

WRONG
`
