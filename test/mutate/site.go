package main

import (
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A site is one place where a fault can be planted: old becomes new, and everything else stays.
type site struct {
	key  string // names the site in argued.txt; holds no line number, so it survives edits elsewhere in the file
	file string // path from the module's root
	line int

	offset   int // of old, in bytes from the file's beginning
	old, new string
}

// opposites maps each operator to the one that replaces it. A comparison that bounds something moves by one; a test for
// equality and a logical operator become their opposites.
var opposites = map[token.Token]token.Token{
	token.LSS:  token.LEQ,
	token.LEQ:  token.LSS,
	token.GTR:  token.GEQ,
	token.GEQ:  token.GTR,
	token.EQL:  token.NEQ,
	token.NEQ:  token.EQL,
	token.LAND: token.LOR,
	token.LOR:  token.LAND,
	token.ADD:  token.SUB,
	token.SUB:  token.ADD,
}

// A finder collects the sites of one file.
type finder struct {
	fset     *token.FileSet
	file     string
	source   []byte
	function string         // the function being walked, "-" outside of all
	seen     map[string]int // how often each key has been given
	sites    []site
}

// findSites returns every site of a Go source file in the order of the source. file is its path from the module's root.
func findSites(file string, source []byte) ([]site, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse source: %w", err)
	}

	f := &finder{fset: fset, file: file, source: source, seen: make(map[string]int)}
	for _, d := range parsed.Decls {
		f.function = "-"
		if fn, ok := d.(*ast.FuncDecl); ok {
			f.function = fn.Name.Name
		}
		f.walk(d)
	}

	return f.sites, nil
}

func (f *finder) walk(root ast.Node) {
	var around []ast.Node
	ast.Inspect(root, func(n ast.Node) bool {
		if n == nil {
			around = around[:len(around)-1]
			return true
		}

		switch n := n.(type) {
		case *ast.BinaryExpr:
			if to, ok := opposites[n.Op]; ok {
				f.add(n, n.OpPos, n.Op.String(), to.String())
			}
		case *ast.IfStmt:
			f.guard(n)
		case *ast.BasicLit:
			f.number(n, around)
		case *ast.Ident:
			f.truth(n, around)
		}

		around = append(around, n)
		return true
	})
}

// guard takes away a check that leaves the function, the loop or the step. Negating it instead would fail every test.
func (f *finder) guard(n *ast.IfStmt) {
	if len(n.Body.List) == 0 {
		return
	}
	switch n.Body.List[len(n.Body.List)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		cond := f.text(n.Cond)
		f.add(n.Cond, n.Cond.Pos(), cond, "false && ("+cond+")")
	}
}

// number doubles an integer, so that a bound of ten becomes one of twenty. It leaves alone what is returned beside an
// error or another result, since callers do not look at it.
func (f *finder) number(n *ast.BasicLit, around []ast.Node) {
	if n.Kind != token.INT {
		return
	}
	if r, ok := around[len(around)-1].(*ast.ReturnStmt); ok && len(r.Results) > 1 {
		return
	}

	v, err := strconv.ParseInt(n.Value, 0, 32)
	if err != nil {
		return
	}
	f.add(statement(n, around), n.Pos(), n.Value, strconv.FormatInt(max(2*v, 1), 10))
}

func (f *finder) truth(n *ast.Ident, around []ast.Node) {
	switch n.Name {
	case "true":
		f.add(statement(n, around), n.Pos(), "true", "false")
	case "false":
		f.add(statement(n, around), n.Pos(), "false", "true")
	}
}

// statement returns the smallest statement, declaration, field or element around n that shows a reader what n is for.
func statement(n ast.Node, around []ast.Node) ast.Node {
	bare := true
	for i := len(around) - 1; i >= 0; i-- {
		switch around[i].(type) {
		case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause, *ast.FuncDecl, *ast.GenDecl:
			return n
		case ast.Stmt, ast.Spec, *ast.KeyValueExpr, *ast.Field:
			return around[i]
		case *ast.CompositeLit:
			if !bare {
				return n
			}
		}
		n, bare = around[i], false
	}

	return n
}

func (f *finder) add(context ast.Node, at token.Pos, old, replacement string) {
	shown, _, _ := strings.Cut(f.text(context), "\n")
	key := fmt.Sprintf("%s %s: %s: %s becomes %s", f.file, f.function, shown, firstLine(old), firstLine(replacement))
	f.seen[key]++
	if n := f.seen[key]; n > 1 {
		key += fmt.Sprintf(" (%d)", n)
	}

	p := f.fset.Position(at)
	f.sites = append(f.sites, site{
		key:    key,
		file:   f.file,
		line:   p.Line,
		offset: p.Offset,
		old:    old,
		new:    replacement,
	})
}

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.fset.Position(n.Pos()).Offset:f.fset.Position(n.End()).Offset])
}

func firstLine(s string) string {
	if line, _, more := strings.Cut(s, "\n"); more {
		return line + "…"
	}
	return s
}

// plant returns the source with the fault in it.
func (s site) plant(source []byte) []byte {
	out := append([]byte(nil), source[:s.offset]...)
	out = append(out, s.new...)
	return append(out, source[s.offset+len(s.old):]...)
}

func (s site) String() string {
	return fmt.Sprintf("%s:%d", filepath.ToSlash(s.file), s.line)
}

// draw returns up to n of the sites whose key matches, chosen by the seed, or all of them if n is 0. Each site draws a
// lot of its own, so that a change elsewhere in the package leaves most of the others in.
func draw(sites []site, matching *regexp.Regexp, n int, seed uint64) (drawn []site) {
	for _, s := range sites {
		if matching.MatchString(s.key) {
			drawn = append(drawn, s)
		}
	}

	lot := func(s site) string {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, s.key))
		return string(sum[:])
	}
	slices.SortFunc(drawn, func(a, b site) int { return strings.Compare(lot(a), lot(b)) })
	if n > 0 {
		drawn = drawn[:min(n, len(drawn))]
	}

	return drawn
}
