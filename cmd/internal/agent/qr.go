package agent

import (
	"fmt"

	"rsc.io/qr"
)

// The backgrounds of a cell, each with the other as its foreground, whatever the terminal's own colours are. A terminal
// with eight colours ignores 107 and 97, and uses the numbers before them.
const (
	white = "\x1b[30;47;107m"
	black = "\x1b[37;97;40m"
	reset = "\x1b[0m"
)

// drawing is a QR code on a terminal.
type drawing struct {
	lines         []string // nil: it does not fit
	columns, rows int      // the room it takes
}

// drawQR draws text as a QR code of half blocks, or of spaces, two to a module, for a terminal without UTF-8. Terminals
// are dark around it, so it uses the widest quiet zone that fits in columns and rows.
func drawQR(text string, blocks bool, columns, rows int) (d drawing, err error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return d, fmt.Errorf("encode QR: %w", err)
	}
	for quiet := 2; quiet > 0; quiet-- {
		modules := code.Size + 2*quiet
		d.columns, d.rows = modules, (modules+1)/2
		if !blocks {
			d.columns, d.rows = 2*modules, modules
		}

		if d.columns <= columns && d.rows <= rows {
			d.lines = drawLines(code, quiet, blocks)
			break
		}
	}

	return d, nil
}

// drawLines draws each cell on the background of its upper half. A background fills its cell, while a font's blocks can
// leave light seams between the lines, which confuse QR readers.
func drawLines(code *qr.Code, quiet int, blocks bool) (lines []string) {
	dark := func(x, y int) bool {
		return x >= 0 && y >= 0 && x < code.Size && y < code.Size && code.Black(x, y)
	}
	cell, step := "  ", 1
	if blocks {
		cell, step = " ", 2
	}

	for y := -quiet; y < code.Size+quiet; y += step {
		line, ground := "", ""
		for x := -quiet; x < code.Size+quiet; x++ {
			upper := map[bool]string{false: white, true: black}[dark(x, y)]
			if upper != ground {
				ground = upper
				line += ground
			}

			if blocks && dark(x, y) != dark(x, y+1) {
				line += "▄"
			} else {
				line += cell
			}
		}
		lines = append(lines, line+reset)
	}

	return lines
}
