package main

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxColumns = 120
	tabWidth   = 4

	// A function body with so many lines and statements is squeezed if it has no paragraph.
	minSqueezedLines, minSqueezedStatements = 20, 5

	// largeLiteral is how many fields make a struct literal large.
	largeLiteral = 5
)

const codeHeader = "" +
	"| code | lines | above 120 columns | functions | p50 | p95 | longest | blank lines in bodies | " +
	"squeezed bodies | large literals squeezed |\n" +
	"|---|---|---|---|---|---|---|---|---|---|\n"

// measures are the figures of one kind of code.
type measures struct {
	kind        kind
	lines, wide int
	lengths     []int // lines of each function, from "func" to its closing brace

	bodyLines, blank int
	squeezedBodies   int
	large, squeezed  int // literals
}

func measureCode(files []source, k kind) *measures {
	m := &measures{kind: k}
	for _, f := range files {
		if f.kind != k {
			continue
		}
		m.lines += len(f.lines)
		for _, line := range f.lines {
			if columns(line) > maxColumns {
				m.wide++
			}
		}
		if f.ast != nil {
			m.measureSyntax(f)
		}
	}
	slices.Sort(m.lengths)
	return m
}

// columns returns the width of a line.
func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
}

func (m *measures) measureSyntax(f source) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			m.measureFunction(f, n)
		case *ast.CompositeLit:
			m.measureLiteral(f, n)
		}
		return true
	})
}

func (m *measures) measureFunction(f source, d *ast.FuncDecl) {
	if d.Body == nil {
		return
	}
	first, last := f.line(d), f.fset.Position(d.End()).Line
	m.lengths = append(m.lengths, last-first+1)

	open := f.line(d.Body)
	if open >= last {
		return
	}
	blank := 0
	body := f.lines[open : last-1]
	for _, line := range body {
		if strings.TrimSpace(line) == "" {
			blank++
		}
	}
	m.bodyLines += len(body)
	m.blank += blank
	if len(body) >= minSqueezedLines && len(d.Body.List) >= minSqueezedStatements && blank == 0 {
		m.squeezedBodies++
	}
}

// measureLiteral counts a struct literal with many fields; one is squeezed if two of its fields share a line.
func (m *measures) measureLiteral(f source, l *ast.CompositeLit) {
	if len(l.Elts) < largeLiteral {
		return
	}
	squeezed, last := false, 0
	for _, e := range l.Elts {
		field, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return
		}
		if _, ok := field.Key.(*ast.Ident); !ok {
			return // a map's
		}
		squeezed = squeezed || f.line(field) == last
		last = f.line(field)
	}
	m.large++
	if squeezed {
		m.squeezed++
	}
}

// line returns the line on which a node begins.
func (f source) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// String returns a row of the table under codeHeader.
func (m *measures) String() string {
	row := fmt.Sprintf("| %s | %d | %d (%.1f %%) |", m.kind, m.lines, m.wide, percent(m.wide, m.lines))
	if len(m.lengths) == 0 {
		return row + " | | | | | | |"
	}
	return row + fmt.Sprintf(" %d | %d | %d | %d | %d of %d (%.1f %%) | %d | %d of %d |",
		len(m.lengths), percentile(m.lengths, 50), percentile(m.lengths, 95), percentile(m.lengths, 100),
		m.blank, m.bodyLines, percent(m.blank, m.bodyLines), m.squeezedBodies, m.squeezed, m.large)
}

// percentile returns the smallest value that p percent of the sorted values do not exceed.
func percentile(sorted []int, p int) int { return sorted[(len(sorted)*p+99)/100-1] }

func percent(part, whole int) float64 { return 100 * float64(part) / float64(max(1, whole)) }
