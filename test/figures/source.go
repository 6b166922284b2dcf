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
	"slices"
	"strings"
)

// kind is what a file is for.
type kind string

const (
	product kind = "Go, product"
	tests   kind = "Go, tests"
	web     kind = "TypeScript"
)

// source is one file written by hand.
type source struct {
	name  string // relative to the root, with slashes
	kind  kind
	lines []string

	fset *token.FileSet // of Go files
	ast  *ast.File      // of Go files
}

// readSource reads all Go and TypeScript files under root, except for generated ones, test data, and other modules.
func readSource(root string) (files []source, err error) {
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enterFolder(root, file, d.Name())
		}

		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		f := source{name: filepath.ToSlash(name)}
		if f.kind = kindOf(f.name); f.kind == "" {
			return nil
		}
		generated, err := f.read(file)
		if err != nil || generated {
			return err
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read source: %w", err)
	}
	return files, nil
}

// enterFolder skips folders that hold no source of this module.
func enterFolder(root, file, name string) error {
	if file == root {
		return nil
	}
	skipped := []string{"node_modules", "testdata", "dist", "bin"}
	if slices.Contains(skipped, name) || strings.HasPrefix(name, ".") {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(file, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

func kindOf(name string) kind {
	switch {
	case path.Ext(name) == ".ts" && strings.HasPrefix(name, "web/"):
		return web
	case path.Ext(name) != ".go":
		return ""
	case strings.HasPrefix(name, "test/") || strings.HasSuffix(name, "_test.go"):
		return tests
	default:
		return product
	}
}

// read fills in f from a file and reports whether the file is generated.
func (f *source) read(file string) (generated bool, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	f.lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if f.kind == web {
		return false, nil
	}

	f.fset = token.NewFileSet()
	f.ast, err = parser.ParseFile(f.fset, file, text, parser.ParseComments)
	if err != nil {
		return false, err
	}
	return ast.IsGenerated(f.ast), nil
}
