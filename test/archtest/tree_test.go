package archtest

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path of this module; a tree names its own packages without it ("crypto/envelope").
const module = "github.com/peephole-cam/peephole"

// tree is what the rules look at.
type tree struct {
	packages map[string]*pkg     // by folder, relative to the module's root
	text     map[string][]string // lines of every source file and document written by hand, go.mod and go.work, by path
	bodies   map[string][]body   // of the functions of every Go file written by hand, by path
	builds   map[string]string   // build constraints ("//go:build …"), by path of the Go file that has one
}

// pkg is one package. Imports of this module's packages are relative to its root, vendors' are full paths; the standard
// library is left out.
type pkg struct {
	name        string
	imports     []string
	testImports []string // what only its tests import
	comments    []string // files with a package comment, without tests unless there is nothing else
	inside      bool     // its comment says notSDK
	targets     []string // fuzz targets
	corpora     []string // the folders of testdata/fuzz with something in them
}

// within reports whether the import path or folder p is dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// withinAny reports whether p is one of dirs or below one.
func withinAny(p string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return within(p, d) })
}

// chain returns the shortest chain of production imports that leads from a package to one for which bad returns true,
// both included, or nil if there is none.
func (t tree) chain(from string, bad func(string) bool) []string {
	seen := map[string]bool{from: true}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		trail := queue[0]
		p := t.packages[trail[len(trail)-1]]
		if p == nil {
			continue // a vendor's: it cannot import us
		}
		for _, imp := range p.imports {
			if seen[imp] {
				continue
			}
			seen[imp] = true
			next := append(slices.Clone(trail), imp)
			if bad(imp) {
				return next
			}
			queue = append(queue, next)
		}
	}

	return nil
}

// readTree reads the module whose root folder is root.
func readTree(t *testing.T, root string) tree {
	t.Helper()
	out := tree{
		packages: map[string]*pkg{},
		text:     map[string][]string{},
		bodies:   map[string][]body{},
		builds:   map[string]string{},
	}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enterFolder(file, rel, d.Name())
		}
		return out.addFile(file, filepath.ToSlash(rel))
	})
	if err != nil {
		t.Fatalf("read tree: %v", err)
	}

	for _, p := range out.packages {
		p.settle()
	}

	return out
}

// enterFolder skips folders that hold no source of this module.
func enterFolder(file, rel, name string) error {
	if rel == "." {
		return nil
	}
	if slices.Contains([]string{"node_modules", "testdata", "dist", "bin"}, name) || strings.HasPrefix(name, ".") ||
		strings.HasPrefix(name, "_") {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(file, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

func (t tree) addFile(file, rel string) error {
	ext := path.Ext(rel)
	if ext != ".go" && ext != ".ts" && ext != ".md" && rel != "go.mod" && rel != "go.work" {
		return nil
	}
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(src), "\n"), "\n")
	if ext != ".go" {
		t.text[rel] = lines
		return nil
	}

	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if !ast.IsGenerated(f) {
		t.text[rel] = lines
		t.bodies[rel] = bodiesOf(fset, f, lines)
	}

	for _, group := range f.Comments {
		for _, c := range group.List {
			if constraint.IsGoBuild(c.Text) && c.Pos() < f.Package {
				t.builds[rel] = c.Text
			}
		}
	}

	dir := path.Dir(rel)
	p := t.packages[dir]
	if p == nil {
		p = &pkg{corpora: corpora(filepath.Dir(file))}
		t.packages[dir] = p
	}

	p.addFile(f, rel)
	if strings.HasSuffix(rel, "_test.go") {
		for _, target := range fuzzTarget.FindAllSubmatch(src, -1) {
			p.targets = append(p.targets, string(target[1]))
		}
	}

	return nil
}

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(`)

// corpora names the committed corpora of the package in a folder, except empty ones.
func corpora(dir string) (names []string) {
	files, err := filepath.Glob(filepath.Join(dir, "testdata", "fuzz", "*", "*"))
	if err != nil {
		return nil // only for a malformed pattern
	}
	for _, f := range files {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}

	return slices.Compact(names)
}

func (p *pkg) addFile(f *ast.File, rel string) {
	isTest := strings.HasSuffix(rel, "_test.go")
	if !isTest || p.name == "" {
		p.name = strings.TrimSuffix(f.Name.Name, "_test")
	}
	if f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != "" {
		p.comments = append(p.comments, rel)
		p.inside = p.inside || strings.Contains(f.Doc.Text(), notSDK)
	}

	for _, spec := range f.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it, so it is a string
		}
		imp, own := strings.CutPrefix(imp, module+"/")
		if first, _, _ := strings.Cut(imp, "/"); !own && !strings.Contains(first, ".") {
			continue // the standard library's: its "crypto" is not our folder of that name
		}

		if isTest {
			p.testImports = append(p.testImports, imp)
		} else {
			p.imports = append(p.imports, imp)
		}
	}
}

// notSDK is in the comment of every package that other programs must not rely on.
const notSDK = "not part of the SDK (doc/sdk.md)"

// settle drops repetitions, and the test files' comments if other files have one.
func (p *pkg) settle() {
	slices.Sort(p.imports)
	p.imports = slices.Compact(p.imports)
	slices.Sort(p.testImports)
	p.testImports = slices.DeleteFunc(slices.Compact(p.testImports), func(imp string) bool {
		return slices.Contains(p.imports, imp)
	})
	isTest := func(file string) bool { return strings.HasSuffix(file, "_test.go") }
	if !slices.ContainsFunc(p.comments, func(file string) bool { return !isTest(file) }) {
		return
	}
	p.comments = slices.DeleteFunc(p.comments, isTest)
}
