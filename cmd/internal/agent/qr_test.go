package agent

import (
	"regexp"
	"strings"
	"testing"

	"rsc.io/qr"
)

const link = "https://relay.example/pair#AQGgRd_HKmDVClBueu0qpGpCMHZruFK3TwyD5jeLgDhm_lOKBWHZ8i5vhOpSiIZm3ZVrBJ-ATZiV_Q"

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// cells reads a drawn line, and reports for each character whether its upper and its lower half are dark.
func cells(t *testing.T, line string) (halves [][2]bool) {
	t.Helper()
	dark := false
	for line != "" {
		switch {
		case strings.HasPrefix(line, white), strings.HasPrefix(line, black):
			dark = strings.HasPrefix(line, black)
			_, line, _ = strings.Cut(line, "m")
		case line == reset:
			return halves
		case strings.HasPrefix(line, " "):
			halves, line = append(halves, [2]bool{dark, dark}), line[1:]
		case strings.HasPrefix(line, "▄"):
			halves, line = append(halves, [2]bool{dark, !dark}), line[len("▄"):]
		default:
			t.Fatalf("unexpected characters in %q", line)
		}
	}

	t.Fatal("the colours are not reset")
	return nil
}

// The code is drawn on a light background with a quiet zone all around it, with half blocks and without.
func TestCodeIsDrawnModuleByModule(t *testing.T) {
	code, err := qr.Encode(link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for _, blocks := range []bool{true, false} {
		d, err := drawQR(link, blocks, 100, 50)
		if err != nil || len(d.lines) != d.rows {
			t.Fatalf("%d lines for %d rows, %v", len(d.lines), d.rows, err)
		}
		wide, high := 2, 1
		if blocks {
			wide, high = 1, 2
		}

		quiet := (d.columns/wide - code.Size) / 2
		for row, line := range d.lines {
			halves := cells(t, line)
			if len(halves) != d.columns {
				t.Fatalf("line %d has %d columns, want %d", row, len(halves), d.columns)
			}
			for column, cell := range halves {
				for half, drawn := range cell {
					x, y := column/wide-quiet, high*row+half*(high-1)-quiet
					inside := x >= 0 && y >= 0 && x < code.Size && y < code.Size
					if drawn != (inside && code.Black(x, y)) {
						t.Fatalf("blocks %t: module %d,%d is drawn %t", blocks, x, y, drawn)
					}
				}
			}
		}
	}
}

// If there is little room, the quiet zone shrinks before the code is left out.
func TestQuietZoneShrinksToFit(t *testing.T) {
	for _, tt := range []struct{ columns, rows, lines int }{
		{80, 23, 21}, {41, 21, 21}, {40, 23, 20}, {80, 20, 20}, {38, 23, 0}, {80, 19, 0},
	} {
		if d, err := drawQR(link, true, tt.columns, tt.rows); err != nil || len(d.lines) != tt.lines {
			t.Errorf("%d columns, %d rows: %d lines, %v; want %d", tt.columns, tt.rows, len(d.lines), err, tt.lines)
		}
	}
}
