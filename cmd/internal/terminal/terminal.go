package terminal

import (
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// Output is where a command writes: a terminal, a file or a pipe.
type Output struct {
	file       *os.File
	isTerminal bool
	utf8       bool
	colours    bool
}

// New returns the output to file. It learns what a terminal supports from the environment: LC_ALL, LC_CTYPE and LANG
// (POSIX), and TERM.
func New(file *os.File) *Output {
	o := &Output{file: file, isTerminal: term.IsTerminal(int(file.Fd()))}
	if runtime.GOOS == "windows" { // its terminals support both, and it has none of these variables
		o.utf8, o.colours = true, true
		return o
	}
	kind := os.Getenv("TERM")
	o.utf8, o.colours = hasUTF8(os.Getenv), kind != "" && kind != "dumb"
	return o
}

// hasUTF8 reports whether the locale's encoding is UTF-8.
func hasUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(getenv(name)); locale != "" {
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return false // without a locale it is POSIX, which is ASCII
}

// IsTerminal reports whether the output is a terminal, which a person reads.
func (o *Output) IsTerminal() bool { return o.isTerminal }

// HasUTF8 reports whether the terminal understands UTF-8.
func (o *Output) HasUTF8() bool { return o.utf8 }

// HasColours reports whether the terminal understands escape sequences for colours.
func (o *Output) HasColours() bool { return o.colours }

// Size returns the terminal's columns and rows, or 80 and 24 if they are not known.
func (o *Output) Size() (columns, rows int) {
	columns, rows, err := term.GetSize(int(o.file.Fd()))
	if err != nil || columns <= 0 || rows <= 0 {
		return 80, 24
	}
	return columns, rows
}

// Write writes text; a terminal without UTF-8 gets it in ASCII.
func (o *Output) Write(text []byte) (int, error) {
	if !o.isTerminal || o.utf8 {
		return o.file.Write(text)
	}
	if _, err := io.WriteString(o.file, ASCII(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// spellings has ASCII for the characters that our own texts use.
var spellings = strings.NewReplacer("…", "...", "–", "-", "—", "-", "“", `"`, "”", `"`, "‘", "'", "’", "'", "µ", "u",
	"×", "x")

// ASCII returns text in ASCII, with a question mark for each character that has no equivalent.
func ASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, spellings.Replace(text))
}
