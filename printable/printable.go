// Package printable makes text chosen by somebody else safe to show to a person: names of cameras and viewers, the
// other end's refusals and complaints, error texts from a relay or a network.
//
// It promises that such text cannot move the cursor, colour or clear a terminal, start a new line where one line is
// expected, reverse the text around it (Unicode's bidirectional controls), hide in it (invisible characters) or fill
// the screen. It does not promise that the text is true, or that letters of different scripts do not look alike. The
// page's twin is web/src/printable.ts; testdata/cases.json keeps the two alike.
//
// It is not part of the SDK (doc/sdk.md): its API may change at any time.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

const (
	// MaxName is the length of the longest name shown, in characters.
	MaxName = 64
	// MaxText is the length of the longest sentence shown, in characters.
	MaxText = 300
)

// Name returns a name as one line of at most MaxName characters, without spaces around it. It may be empty.
func Name(s string) string { return strings.Trim(clip(s, MaxName), " ") }

// CheckName returns nil for a name that Name does not change, and that is therefore shown alike everywhere.
func CheckName(s string) error {
	if Name(s) != s {
		return fmt.Errorf("name %q: want at most %d printable characters, and no space at either end", s, MaxName)
	}
	return nil
}

// Text returns a sentence as one line of at most MaxText characters.
func Text(s string) string { return clip(s, MaxText) }

// Lines returns text of any length and keeps its line breaks and tabs: for a log, or for the error that ends a command.
func Lines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return shown(r)
	}, s)
}

// Writer returns a writer that passes everything through Lines to w: for a terminal that shows text from many sources.
// Each Write must contain whole characters.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ to io.Writer }

func (w writer) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.to, Lines(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// clip returns the first limit characters of s, made safe.
func clip(s string, limit int) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > limit {
			return -1
		}
		return shown(r)
	}, s)
}

// blank is U+2800, a Braille pattern without dots: a symbol by category, but invisible.
const blank = '\u2800'

// shown returns r if it is a letter, mark, digit, punctuation, symbol or plain space that has a shape of its own, and a
// question mark otherwise. Hangul's fillers, for example, are letters without a shape. A byte that is not UTF-8 arrives
// here as the replacement character.
func shown(r rune) rune {
	shapeless := unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || r == blank
	if !unicode.IsPrint(r) || shapeless || r == unicode.ReplacementChar {
		return '?'
	}
	return r
}
