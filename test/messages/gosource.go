package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// goSentences finds the sentences in one folder's Go files, except in tests.
func goSentences(root, folder string) ([]found, error) {
	names, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}

	var out []found
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read source: %w", err)
		}

		more, err := goFile(folder+"/"+filepath.Base(name), text)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}

	return out, nil
}

// goFile finds the sentences of one file.
func goFile(name string, text []byte) ([]found, error) {
	w := &goWalk{name: name, set: token.NewFileSet()}
	file, err := parser.ParseFile(w.set, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse source: %w", err)
	}

	ast.PreorderStack(file, nil, w.node)
	return w.out, nil
}

type goWalk struct {
	name string
	set  *token.FileSet
	out  []found
}

// node looks at one node below its parents, and reports whether to descend.
func (w *goWalk) node(n ast.Node, above []ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec:
		return false
	case *ast.CallExpr:
		name := called(n)
		if !quiet[name] && !logs[name] {
			return true
		}
		for i, arg := range n.Args {
			_, text := folded(arg)
			if first := i == 0 || i == 1 && strings.HasSuffix(name, "Context"); !text || logs[name] && first {
				ast.PreorderStack(arg, append(above, n), w.node) // a function among them may be different
			}
		}

		return false
	case *ast.ValueSpec:
		name := strings.ToLower(n.Names[0].Name)
		return !strings.HasSuffix(name, "usage") && !strings.HasSuffix(name, "help") // what -h prints
	case *ast.BinaryExpr:
		if n.Op != token.ADD {
			return n.Op != token.EQL && n.Op != token.NEQ // what is compared is not said
		}
		if text, ok := folded(n); ok {
			w.see(n, text, above)
			return false
		}
	case *ast.CaseClause:
		for _, s := range n.Body {
			ast.PreorderStack(s, append(above, n), w.node)
		}
		return false // what is compared is not said
	case *ast.BasicLit:
		if text, ok := folded(n); ok {
			w.see(n, text, above)
		}
	}
	return true
}

// folded returns the text of a string, or of several that are added up, with a gap for each that is not a literal.
func folded(x ast.Expr) (text string, ok bool) {
	switch x := x.(type) {
	case *ast.BasicLit:
		if x.Kind != token.STRING {
			return gap, false
		}
		text, err := strconv.Unquote(x.Value)
		return text, err == nil
	case *ast.ParenExpr:
		return folded(x.X)
	case *ast.BinaryExpr:
		if x.Op != token.ADD {
			return gap, false
		}
		left, ok1 := folded(x.X)
		right, ok2 := folded(x.Y)
		return left + right, ok1 || ok2
	}
	return gap, false
}

// quiet are the calls whose arguments nobody sees, or sees as something other than a message.
var quiet = map[string]bool{
	"Debug": true, "DebugContext": true, "With": true, "panic": true,
	"MustCompile": true, "Compile": true,
	"HasPrefix": true, "HasSuffix": true, "Contains": true, "ContainsAny": true, "TrimPrefix": true, "TrimSuffix": true,
	"Cut":       true,
	"CutPrefix": true, "EqualFold": true, "Index": true, "FieldsFunc": true, "Split": true,
	// Flags and their help.
	"String": true, "StringVar": true, "Bool": true, "BoolVar": true, "Int": true, "IntVar": true, "UintVar": true,
	"Uint":     true,
	"Duration": true, "DurationVar": true, "TextVar": true, "Float64Var": true, "Func": true, "BoolFunc": true,
	"NewFlagSet": true,
	// A metric's help.
	"Counter": true, "Gauge": true, "Handle": true, "HandleFunc": true,
}

// logs are the calls that write a line to the log: a message, followed by names of attributes and their values.
var logs = map[string]bool{
	"Info": true, "Warn": true, "Error": true, "InfoContext": true, "WarnContext": true, "ErrorContext": true,
}

// shows reports whether a call shows its text whatever that looks like.
func shows(call string) bool { return logs[call] || call == "New" || call == "Errorf" }

// formats are the calls whose text is a format of package fmt.
var formats = map[string]bool{"Errorf": true, "Sprintf": true, "Fprintf": true, "Printf": true, "Appendf": true}

// called returns the last name of what a call calls.
func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// context matches an error that only says where another one happened.
var context = regexp.MustCompile(`^[^;]*: %w$`)

// see takes a text as a sentence unless its place or its looks show that it is not.
func (w *goWalk) see(n ast.Node, raw string, above []ast.Node) {
	call, holder := surroundings(above)
	if call == "Errorf" && context.MatchString(raw) && !strings.Contains(raw, "want ") {
		return
	}
	if _, ok := above[len(above)-1].(*ast.Field); ok {
		return // a struct's tag
	}

	text := tidy(raw, formats[call])
	least := 2
	if shows(call) {
		least = 1
	}

	if words(text) < least || least == 2 && !strings.Contains(text, " ") {
		return
	}
	w.out = append(w.out, found{text, place{w.name, w.set.Position(n.Pos()).Line, holder}})
}

// surroundings returns the innermost call of which a text is an argument, and the package's variable or constant that
// holds it.
func surroundings(above []ast.Node) (call, holder string) {
	for i := len(above) - 1; i >= 0; i-- {
		switch n := above[i].(type) {
		case *ast.CallExpr:
			if call == "" {
				call = called(n)
			}
		case *ast.ValueSpec:
			if len(n.Names) == 1 && i == 2 { // of the package: file, declaration, specification
				holder = n.Names[0].Name
			}
		case *ast.FuncDecl, *ast.FuncLit:
			return call, ""
		}
	}
	return call, holder
}
