package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// A target is one package, its tests, and the sites of it that these reach.
type target struct {
	listed
	tests []reach
	sites []site
}

// load lists the packages that the patterns name and passes them to do, one after another, each with its tests whose
// names match and the sites that these reach.
func load(ctx context.Context, patterns []string, tests string, do func(target) error) error {
	list := exec.CommandContext(ctx, "go",
		append([]string{"list", "-json=ImportPath,Dir,GoFiles,Module"}, patterns...)...)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list packages: %w", err)
	}

	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read package list: %w", err)
		}

		t, err := p.target(ctx, tests)
		if err != nil {
			return err
		}
		if err := do(t); err != nil {
			return err
		}
	}
}

// listed is what go list prints about a package.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	Module          struct{ Path, Dir string }
}

func (p listed) target(ctx context.Context, matching string) (target, error) {
	tests, err := p.coverage(ctx, matching)
	if err != nil {
		return target{}, fmt.Errorf("test %s without a fault: %w", p.ImportPath, err)
	}

	t := target{listed: p, tests: tests}
	for _, name := range p.GoFiles {
		full := filepath.Join(p.Dir, name)
		source, err := os.ReadFile(full)
		if err != nil {
			return target{}, err
		}
		file, err := filepath.Rel(p.Module.Dir, full)
		if err != nil {
			return target{}, err
		}

		sites, err := findSites(file, source)
		if err != nil {
			return target{}, err
		}

		for _, s := range sites {
			if len(t.reaching(s)) > 0 {
				t.sites = append(t.sites, s)
			}
		}
	}

	return t, nil
}

// reaching returns the tests that reach a site.
func (t target) reaching(s site) (tests []reach) {
	file := t.ImportPath + "/" + filepath.Base(s.file)
	for _, r := range t.tests {
		if r.lines.has(file, s.line) {
			tests = append(tests, r)
		}
	}
	return tests
}
