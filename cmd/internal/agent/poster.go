package agent

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/peephole-cam/peephole/crypto/pairing"
)

// margin is the number of free columns left of a QR code, and between it and the text beside it.
const margin = 2

// screen is what a poster has to fit.
type screen struct {
	columns, rows int
	utf8, colours bool
}

// linkLines returns what scripts read: a code's link and its words.
func linkLines(name string, code pairing.Code) string {
	return fmt.Sprintf("pair %s %s\nwords %s %s\n", name, code.URI(), name, strings.Join(code.Words(), " "))
}

// poster returns what a person sees of a code: its link, and a QR code with instructions beside it. Nothing is below
// the QR code, and the cursor's line is left free, so that all of it stays visible. If it does not fit, the poster says
// what would help.
func poster(name string, code pairing.Code, s screen) (string, error) {
	text := linkLines(name, code)
	d, err := drawQR(code.URI(), s.utf8, s.columns-margin, s.rows-1)
	if err != nil {
		return text, err
	}
	if !s.colours {
		return text + fill("This terminal has no colours to draw a QR code with. Open the link above.", s.columns), nil
	}

	if d.lines == nil {
		why := fmt.Sprintf("The QR code needs a window of %d columns and %d lines; this one has %d and %d.",
			d.columns+margin, d.rows+1, s.columns, s.rows)
		if !s.utf8 {
			why += " With UTF-8 it is half the size: set LC_ALL=C.UTF-8 if this terminal supports it."
		}
		return text + fill(why+" Open the link above, or make the window larger and start again.", s.columns), nil
	}

	beside := s.columns - d.columns - 2*margin - 1
	var side []string
	if beside >= minBeside {
		side = besideQR(name, strings.Join(code.Words(), " "), beside)
	}

	for n, line := range d.lines {
		text += strings.Repeat(" ", margin) + line
		if n > 0 && n <= len(side) && side[n-1] != "" {
			text += strings.Repeat(" ", margin) + side[n-1]
		}
		text += "\n"
	}

	return text, nil
}

// minBeside is the least number of columns for the text beside a QR code.
const minBeside = 24

// besideQR returns the instructions beside a QR code. They leave out a name whose width on the terminal is uncertain:
// it could push the QR code off.
func besideQR(name, words string, columns int) (lines []string) {
	who := fmt.Sprintf("%q", name)
	if strings.ContainsFunc(name, func(r rune) bool { return r >= 0x1100 || unicode.Is(unicode.M, r) }) {
		who = "this camera"
	}
	for _, text := range []string{
		"Scan this with the phone that will watch " + who + ", or open the link above.",
		"It asks before it adds the camera, and shows these three words:",
		words,
		"Meanwhile log lines wait; the last line shows the newest.",
	} {
		lines = append(lines, strings.Split(strings.TrimSuffix(fill(text, columns), "\n"), "\n")...)
		lines = append(lines, "")
	}

	return lines
}

// fill breaks a text into lines of at most columns. A longer word is cut off.
func fill(text string, columns int) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		word = cut(word, columns)
		if line != "" && len([]rune(line))+1+len([]rune(word)) > columns {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}

	return strings.Join(append(lines, line), "\n") + "\n"
}

// cut returns the first columns characters of a text.
func cut(text string, columns int) string {
	if r := []rune(text); len(r) > columns {
		return string(r[:max(columns, 0)])
	}
	return text
}
