package session

import (
	"strings"
	"unicode"
)

// maxPrintable bounds what the other end can have shown to a person, in characters.
const maxPrintable = 300

// Printable is the other end's text without what could play with a terminal or turn the text around it (Unicode's bidirectional controls).
func Printable(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		switch n++; {
		case n > maxPrintable:
			return -1
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			return '?'
		}
		return r
	}, s)
}
