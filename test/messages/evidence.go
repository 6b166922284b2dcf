package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// trial is one test, and what its source says.
type trial struct {
	name  string          // "session TestExplain", "web watching.test.ts: a page that is hidden"
	texts []string        // its strings, tidied
	names map[string]bool // the names that it uses, with the folder of a package: "session.ErrLost", "web.lost"
}

// trials reads every test below root: the Go tests, the page's, and the scripts and cases that Go tests read from
// testdata.
func trials(root string) ([]trial, error) {
	var all []trial
	folders := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"node_modules", ".git", "dist", ".build", "fuzz"}, d.Name()) {
			return filepath.SkipDir
		}

		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, "test/messages/") {
			folders[path.Dir(name)] = append(folders[path.Dir(name)], name)
			return nil
		}

		cases := strings.Contains(name, "/testdata/") && strings.HasSuffix(name, ".json")
		commands := strings.HasSuffix(name, ".txtar")
		script := strings.HasPrefix(name, "web/test/") &&
			(strings.HasSuffix(name, ".ts") || strings.HasSuffix(name, ".mjs"))
		if !cases && !script && !commands {
			return nil
		}

		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if commands {
			all = append(all, commandTrial(name, string(text)))
			return nil
		}

		all = append(all, scriptTrials(name, string(text))...)

		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tests: %w", err)
	}

	for folder, names := range folders {
		more, err := goTrials(root, folder, names)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}

	slices.SortFunc(all, func(a, b trial) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// scriptTrials reads a test in TypeScript, or the cases that a test reads.
func scriptTrials(name, src string) (out []trial) {
	byTitle := map[string]*trial{}
	var titles []string
	literals, fields := scanTypeScript(src)
	for _, l := range literals {
		label := name
		if l.title != "" {
			label = fmt.Sprintf("%s: %s", name, l.title)
		}
		t := byTitle[label]
		if t == nil {
			t = &trial{name: label, names: map[string]bool{}}
			byTitle[label] = t
			titles = append(titles, label)
		}

		if l.text != l.title {
			t.texts = append(t.texts, tidy(l.text, false))
		}
	}

	for _, title := range titles {
		if title != name {
			out = append(out, *byTitle[title])
		}
	}

	whole := trial{name: name, names: map[string]bool{}}
	if t := byTitle[name]; t != nil {
		whole = *t
	}
	for _, f := range fields {
		whole.names[f] = true
	}

	return append(out, whole)
}

var (
	quotes = regexp.MustCompile("'[^'\n]*'")
	filled = regexp.MustCompile(`"[^"]*"|\.\*`)
)

// commandTrial reads a testscript: what it expects is in quotes.
func commandTrial(name, src string) trial {
	t := trial{name: name, names: map[string]bool{}}
	for _, q := range quotes.FindAllString(src, -1) {
		text := filled.ReplaceAllString(strings.Trim(q, "'"), gap)
		t.texts = append(t.texts, tidy(strings.ReplaceAll(text, "\\", ""), false))
	}
	return t
}

// goTrials reads the tests of one folder. What is outside of a test function, in a table or a helper, counts for the
// tests that use it.
func goTrials(root, folder string, names []string) ([]trial, error) {
	decls := map[string]*trial{} // by name, tests among them
	uses := map[string][]string{}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse test: %w", err)
		}
		home := strings.TrimSuffix(file.Name.Name, "_test") == file.Name.Name // inside the package it tests
		for _, d := range file.Decls {
			for _, part := range declared(d) {
				t := decls[part.name]
				if t == nil {
					t = &trial{name: strings.TrimSpace(folder + " " + part.name), names: map[string]bool{}}
					decls[part.name] = t
				}
				uses[part.name] = append(uses[part.name], t.read(part.node, folder, home)...)
			}
		}
	}

	var out []trial
	for name, t := range decls {
		if strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") {
			t.join(name, decls, uses)
			out = append(out, *t)
		}
	}

	return out, nil
}

// part is a function, or one variable or constant of a package.
type part struct {
	name string
	node ast.Node
}

func declared(d ast.Decl) (out []part) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		out = append(out, part{d.Name.Name, d})
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if v, ok := s.(*ast.ValueSpec); ok && len(v.Names) > 0 {
				out = append(out, part{v.Names[0].Name, v})
			}
		}
	}
	return out
}

// read records a part's strings and names, and returns the plain names.
func (t *trial) read(n ast.Node, folder string, home bool) (plain []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if text, ok := folded(n); ok && n.Op == token.ADD {
				t.texts = append(t.texts, tidy(text, true))
				return false
			}
		case *ast.BasicLit:
			if text, ok := folded(n); ok {
				t.texts = append(t.texts, tidy(text, true))
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				t.names[x.Name+"."+n.Sel.Name] = true
			}
			plain = append(plain, t.read(n.X, folder, home)...)
			return false // a method or a field shares its name with many others
		case *ast.Ident:
			plain = append(plain, n.Name)
			if home {
				t.names[path.Base(folder)+"."+n.Name] = true
			}
		}
		return true
	})
	return plain
}

// join adds what a test uses, directly or not, among the parts of its own folder that are not tests.
func (t *trial) join(name string, decls map[string]*trial, uses map[string][]string) {
	seen := map[string]bool{name: true}
	for queue := uses[name]; len(queue) > 0; queue = queue[1:] {
		next := queue[0]
		d := decls[next]
		if d == nil || seen[next] || strings.HasPrefix(next, "Test") {
			continue
		}
		seen[next] = true
		t.texts = append(t.texts, d.texts...)
		for n := range d.names {
			t.names[n] = true
		}
		queue = append(queue, uses[next]...)
	}
}

// minQuote is how much of a sentence a test must quote, in bytes: less could be anything.
const minQuote = 9

// maxQuote is the longest string that is searched: anything longer is data.
const maxQuote = 1000

// evidence finds for each sentence a test that brings it about.
func evidence(all []*sentence, tests []trial) map[*sentence]string {
	out := map[*sentence]string{}
	take := func(s *sentence, t trial) {
		if out[s] == "" || strings.HasPrefix(out[s], "test/") && !strings.HasPrefix(t.name, "test/") { // the nearer one
			out[s] = t.name
		}
	}

	for _, t := range tests {
		near := t.near(all)
		for _, s := range all {
			for _, p := range s.places {
				holder := path.Base(path.Dir(p.file))
				if strings.HasPrefix(p.file, "web/") {
					holder = "sentences" // the tables of sentences there
				}
				if p.name != "" && t.names[holder+"."+p.name] {
					take(s, t)
				}
			}
		}

		for _, text := range t.texts {
			means := quoted(text, near)
			if means == nil && t.testsAll() {
				means = quoted(text, all)
			}
			for _, s := range means {
				take(s, t)
			}
		}
	}

	return out
}

// testsAll reports whether a test is about commands or the whole system, which use the sentences of all packages.
func (t trial) testsAll() bool {
	return strings.HasPrefix(t.name, "test/") || strings.HasPrefix(t.name, "cmd/")
}

// near returns the sentences of a test's own folder; the whole page counts as one.
func (t trial) near(all []*sentence) (out []*sentence) {
	for _, s := range all {
		for _, p := range s.places {
			folder := path.Dir(p.file)
			page := strings.HasPrefix(folder, "web/") &&
				(strings.HasPrefix(t.name, "web/") || strings.HasPrefix(t.name, "session/path/testdata/"))
			if page || strings.HasPrefix(t.name, folder+" ") || strings.HasPrefix(t.name, folder+"/testdata/") {
				out = append(out, s)
				break
			}
		}
	}
	return out
}

// quoted returns the sentences that a text quotes: the one with which it has the longest stretch in common, if no other
// sentence shares that. A text that is itself a sentence quotes that one alone.
func quoted(text string, all []*sentence) (out []*sentence) {
	if len(text) < minQuote || len(text) > maxQuote || words(text) < 2 {
		return nil
	}

	quotes := stretches(pieces(text))
	best := 0
	for _, s := range all {
		if s.text == text {
			return []*sentence{s}
		}
		switch n := s.common(text, quotes); {
		case n < minQuote || n < best:
		case n > best:
			best, out = n, []*sentence{s}
		default:
			out = append(out, s)
		}
	}

	if len(out) != 1 {
		return nil
	}
	return out
}

// pieces returns a test's text with gaps for its quotation marks too.
func pieces(text string) string { return strings.ReplaceAll(text, `"`, gap) }

// common returns the length of the longest stretch of words that a text quotes from a sentence: a run of the sentence
// that is whole in the text, or a piece of the text that is within such a run.
func (s *sentence) common(text string, pieces []stretch) (longest int) {
	for _, y := range s.runs {
		if y.words >= 2 && len(y.text) > longest && strings.Contains(text, y.text) {
			longest = len(y.text)
		}
		for _, x := range pieces {
			if x.words >= 3 && len(x.text) > longest && len(x.text) <= len(y.text) && strings.Contains(y.text, x.text) {
				longest = len(x.text)
			}
		}
	}
	return longest
}
