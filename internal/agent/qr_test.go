package agent

import (
	"regexp"
	"strings"
	"testing"

	"rsc.io/qr"
)

// What is drawn is the code, module by module, on a light ground with a quiet zone all around it.
func TestDrawQR(t *testing.T) {
	const text = "https://relay.example/pair#AQGgRd_HKmDVClBueu0qpGpCMHZruFK3TwyD5jeLgDhm_lOKBWHZ8i5vhOpSiIZm3ZVrBJ-ATZiV_Q"
	drawing, err := drawQR(text)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	colours := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for row, line := range strings.Split(strings.TrimRight(drawing, "\n"), "\n") {
		if !strings.HasPrefix(line, "  \x1b[30;107m") || !strings.HasSuffix(line, "\x1b[0m") {
			t.Fatalf("line %d is not black on white: %q", row, line)
		}
		for column, block := range []rune(colours.ReplaceAllString(line, ""))[2:] {
			for half := range 2 {
				x, y := column-quiet, 2*row-quiet+half
				inside := x >= 0 && y >= 0 && x < code.Size && y < code.Size
				drawn := block == '█' || block == '▀' && half == 0 || block == '▄' && half == 1
				if drawn != (inside && code.Black(x, y)) {
					t.Fatalf("module %d,%d is drawn %t", x, y, drawn)
				}
			}
		}
	}
	if lines := strings.Count(drawing, "\n"); lines*2 < code.Size+2*quiet {
		t.Errorf("%d lines for %d modules and the quiet zone", lines, code.Size)
	}
}
