package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const module = "github.com/peephole-cam/peephole"

// packageGraph returns the graph of the product's packages and their imports.
func packageGraph(files []source) graph {
	g := make(graph)
	for _, f := range files {
		if f.kind != product {
			continue
		}
		from := path.Dir(f.name)
		g.addRoom(from)
		for _, spec := range f.ast.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if to, ours := strings.CutPrefix(imported, module+"/"); ours {
				g.addArrow(from, to)
			}
		}
	}
	return g
}

// folderGraph returns a graph of packages in which each top-level folder is one room.
func folderGraph(packages graph) graph {
	g := make(graph)
	for from, uses := range packages {
		g.addRoom(topFolder(from))
		for to := range uses {
			g.addArrow(topFolder(from), topFolder(to))
		}
	}
	return g
}

func topFolder(dir string) string {
	top, _, _ := strings.Cut(dir, "/")
	return top
}

// below returns the part of g that is in a folder.
func below(g graph, folder string) graph {
	inside := func(room string) bool { return room == folder || strings.HasPrefix(room, folder+"/") }
	out := make(graph)
	for from, uses := range g {
		if !inside(from) {
			continue
		}
		out.addRoom(from)
		for to := range uses {
			if inside(to) {
				out.addArrow(from, to)
			}
		}
	}
	return out
}

// referenceGraph returns the graph of one package's files: an arrow leads from a file to each that declares a name,
// method or field which the first one uses. The package must compile.
func referenceGraph(root, dir string) (graph, error) {
	exports, names, err := listPackage(root, dir)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(fset, filepath.Join(root, dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}

	lookup := func(imported string) (io.ReadCloser, error) { return os.Open(exports[imported]) }
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	checked, err := config.Check(module+"/"+dir, fset, files, info)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", dir, err)
	}

	g := make(graph)
	fileOf := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	for _, f := range files {
		g.addRoom(fileOf(f.Package))
	}
	for use, declared := range info.Uses {
		if declared.Pkg() == checked && declared.Pos().IsValid() {
			g.addArrow(fileOf(use.Pos()), fileOf(declared.Pos()))
		}
	}
	delete(g, "doc.go")
	return g, nil
}

// listPackage returns the compiled form of everything that a package imports, and the package's files.
func listPackage(root, dir string) (exports map[string]string, files []string, err error) {
	const format = `{{.ImportPath}} {{.Export}} {{if not .DepOnly}}{{range .GoFiles}}{{.}} {{end}}{{end}}`
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", format, "./"+dir)
	cmd.Dir = root
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	list, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("list %s: %w: %s", dir, err, complaint.Bytes())
	}

	exports = make(map[string]string)
	for line := range strings.Lines(string(list)) {
		fields := strings.Split(strings.TrimSpace(line), " ")
		if len(fields) > 1 {
			exports[fields[0]] = fields[1]
		}
		if len(fields) > 2 {
			files = fields[2:]
		}
	}
	return exports, files, nil
}

// scriptImport is how TypeScript names another file of ours.
var scriptImport = regexp.MustCompile(`(?:from|import)\s*\(?\s*'(\.[^']+)'`)

// scriptGraph returns the graph of the page's files and their imports, including those of types alone.
func scriptGraph(files []source) graph {
	g := make(graph)
	for _, f := range files {
		if f.kind != web || !strings.HasPrefix(f.name, "web/src/") {
			continue
		}
		g.addRoom(f.name)
		for _, m := range scriptImport.FindAllStringSubmatch(strings.Join(f.lines, "\n"), -1) {
			to := path.Join(path.Dir(f.name), strings.TrimSuffix(m[1], ".js"))
			g.addArrow(f.name, strings.TrimSuffix(to, ".ts")+".ts")
		}
	}
	return g
}
