package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	maxCodeColumns  = 120 // of Go and TypeScript, where a tab counts tabWidth
	maxProseColumns = 100 // of Markdown, except for tables, code and the addresses of links
	maxCell         = 400 // characters in a cell of a Markdown table
	tabWidth        = 4

	// A function body with this many lines and statements needs a blank line between two of its steps.
	minSqueezedLines, minSqueezedStatements = 20, 5
)

// body is what the rule about paragraphs looks at in a function.
type body struct {
	name       string
	statements int
	lines      []string
}

// linkAddress is the address of a link, which cannot be wrapped.
var linkAddress = regexp.MustCompile(`\]\([^)\s]*\)`)

// linesFit: a line fits a screen beside another, and prose can be read without moving one's head.
func linesFit(t tree) (out []string) {
	for file, lines := range t.text {
		check := checkCode
		if path.Ext(file) == ".md" {
			check = checkProse
		}
		for _, found := range check(lines) {
			out = append(out, file+found)
		}
	}
	return out
}

func checkCode(lines []string) (out []string) {
	for i, line := range lines {
		n := utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
		if n > maxCodeColumns {
			out = append(out, fmt.Sprintf(":%d has %d columns, more than %d: wrap it", i+1, n, maxCodeColumns))
		}
	}
	return out
}

func checkProse(lines []string) (out []string) {
	inCode := false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence {
			inCode = !inCode
		}
		if fence || inCode {
			continue
		}

		if strings.HasPrefix(line, "|") {
			for cell := range strings.SplitSeq(line, "|") {
				if n := utf8.RuneCountInString(cell); n > maxCell {
					out = append(out, fmt.Sprintf(":%d has a cell of %d characters, more than %d: write it below "+
						"the table", i+1, n, maxCell))
				}
			}
			continue
		}
		if n := utf8.RuneCountInString(linkAddress.ReplaceAllString(line, "]()")); n > maxProseColumns {
			out = append(out, fmt.Sprintf(":%d has %d columns, more than %d: wrap it", i+1, n, maxProseColumns))
		}
	}
	return out
}

// functionsHaveParagraphs: a blank line between the steps of a function shows a reader where one ends. Short functions
// and tables need none.
func functionsHaveParagraphs(t tree) (out []string) {
	for file, bodies := range t.bodies {
		for _, b := range bodies {
			if b.isSqueezed() {
				out = append(out, fmt.Sprintf("%s: %s has %d lines and no blank one: separate its steps",
					file, b.name, len(b.lines)))
			}
		}
	}
	return out
}

func (b body) isSqueezed() bool {
	if len(b.lines) < minSqueezedLines || b.statements < minSqueezedStatements {
		return false
	}
	for _, line := range b.lines {
		if strings.TrimSpace(line) == "" {
			return false
		}
	}
	return true
}

// bodiesOf returns the bodies of a file's functions. lines are the file's.
func bodiesOf(fset *token.FileSet, f *ast.File, lines []string) (out []body) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		first, last := fset.Position(fn.Body.Lbrace).Line, fset.Position(fn.Body.Rbrace).Line
		if last > first {
			out = append(out, body{fn.Name.Name, len(fn.Body.List), lines[first : last-1]})
		}
	}
	return out
}
