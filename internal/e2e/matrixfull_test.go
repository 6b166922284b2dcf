//go:build linux && natmatrix

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/internal/natlab"
)

// matrixTimes is how often each pair of networks is watched.
const matrixTimes = 5

// TestNATMatrix measures every kind of network with every other, several at a time, and writes the table to the file that NAT_MATRIX names: see
// make nat-matrix. It is built for that alone: it takes longer than all other tests together.
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
				fmt.Fprintf(&wrong, "- %s to %s: theory says %s, seen %s, %d of %d failed\n", c.camera.Name, c.viewer.Name, c.theory(), c.path, c.failed, matrixTimes)
			}
		}
		table.WriteString("\n")
	}
	if wrong.Len() == 0 {
		wrong.WriteString("None: every pair that theory says is traversable goes direct, every other one is relayed, and none fails.\n")
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

Camera behind every kind of network, viewer behind every kind: the real relay, camera-sim and viewer, each on a host of its own behind real routers (internal/natlab: Linux's own NAT where it has the behaviour, a translator
of ours where not; what each kind does is measured by that package's tests). Each cell: the path that the session was on after 40 frames (300 where ports have to be guessed: it begins relayed there), then the medians of five sessions in milliseconds, several pairs at a time, without line delay: to the
first picture, which comes sealed by signaling, and to the first frame of the stream. The time includes the connection to the relay.

TABLE

## Where it differs from theory
Theory is natlab.Traversable: both ends know their addresses by STUN and both send; and, where that is not enough, natlab.Guessable: by guessing ports (internal/punch), which fails by chance 3 times in 10,000.

WRONG
`
