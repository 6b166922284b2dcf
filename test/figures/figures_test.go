package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGraphCountsFloorsAndArrowsUp(t *testing.T) {
	for _, tt := range []struct {
		name, arrows, want string
	}{
		{"nothing", "", "0 | 0 | 0 | 0 | 0"},
		{"a chain", "a-b b-c", "3 | 3 | 2 | 0 | 0"},
		{"a diamond", "a-b a-c b-d c-d", "4 | 3 | 4 | 0 | 0"},
		{"a circle of two", "a-b b-a", "2 | 2 | 2 | 1 | 1"},
		{"two circles", "a-b b-a b-c c-d d-c", "4 | 4 | 5 | 2 | 2"},
		{"an arrow back over three floors", "a-b b-c a-c c-a", "3 | 3 | 4 | 1 | 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := make(graph)
			for _, arrow := range strings.Fields(tt.arrows) {
				from, to, _ := strings.Cut(arrow, "-")
				g.addArrow(from, to)
			}
			if got, want := (namedGraph{"g", g}).String(), "| g | "+tt.want+" |"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// writeTree writes a small module and returns its folder.
func writeTree(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFiguresOfASmallTree(t *testing.T) {
	wide := "// " + strings.Repeat("x", 118)
	squeezed := "func squeezed() {\n" + strings.Repeat("\tprintln()\n", 25) + "}\n"
	literals := "var _ = big{A: 1, B: 2, C: 3, D: 4, E: 5}\n\n" +
		"var _ = big{\n\tA: 1,\n\tB: 2,\n\tC: 3,\n\tD: 4,\n\tE: 5,\n}\n"
	airy := "func f() {\n\n\tprintln()\n}\n"
	root := writeTree(t, map[string]string{
		"go.mod":             "module " + module + "\n\ngo 1.26\n",
		"session/doc.go":     "// Package session is small.\npackage session\n",
		"session/upper.go":   "package session\n\ntype upper struct{ l lower }\n\nfunc (u upper) up() { _ = u.l.n }\n",
		"session/lower.go":   "package session\n\ntype lower struct{ n int }\n\nfunc (lower) down() { upper{}.up() }\n",
		"camera/camera.go":   "package camera\n\nimport _ \"" + module + "/session\"\n\n" + wide + "\n\n" + squeezed,
		"camera/a_test.go":   "package camera\n\n" + literals + "\n" + airy,
		"web/src/a.ts":       "import { b } from './lower/b';\n",
		"web/src/lower/b.ts": "import type { a } from '../a.js';\n",
	})

	var out strings.Builder
	if err := run(&out, root); err != nil {
		t.Fatal(err)
	}

	for _, want := range []string{
		"| Go, product | 45 | 1 (2.2 %) | 3 | 1 | 27 | 27 | 0 of 25 (0.0 %) | 1 | 0 of 0 |",
		"| Go, tests | 16 | 0 (0.0 %) | 1 | 4 | 4 | 4 | 1 of 2 (50.0 %) | 0 | 1 of 2 |",
		"| Go, top-level folders | 2 | 2 | 1 | 0 | 0 |",
		"| session/, files of the root package | 2 | 2 | 2 | 1 | 1 |",
		"| TypeScript, files | 2 | 2 | 2 | 1 | 1 |",
		"circle in session/, files of the root package: lower.go upper.go",
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
}
