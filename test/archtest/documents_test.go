package archtest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// quoted matches what is between backquotes in a document.
	quoted = regexp.MustCompile("`([^`\n]+)`")

	// testName matches the name of a test, or the beginning of several names.
	testName = regexp.MustCompile(`\b(Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]+`)

	// fileName matches the name of one of our files, with its folder or without.
	fileName = regexp.MustCompile(`^[a-zA-Z0-9_./-]+\.(go|ts)$`)
)

// TestArchitectureNamesWhatExists: a map that names files which are gone sends a newcomer astray. A name without a
// folder may be in any folder that its section has named so far.
func TestArchitectureNamesWhatExists(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "doc", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}

	var found int
	for _, section := range strings.Split(string(text), "\n## ") {
		folders := []string{"web/src"}
		for _, m := range quoted.FindAllStringSubmatch(section, -1) {
			name := m[1]
			if !fileName.MatchString(name) {
				continue
			}
			if folder := path.Dir(name); folder != "." {
				folders = append(folders, folder)
			}

			if !existsInAny(root, folders, path.Base(name)) {
				t.Errorf("doc/architecture.md names %s, which is in none of %v", name, folders)
			}
			found++
		}
	}

	if found == 0 {
		t.Error("doc/architecture.md names no file")
	}
}

func existsInAny(root string, folders []string, name string) bool {
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(folder), name)); err == nil {
			return true
		}
	}
	return false
}

// TestDocumentsNameTestsThatExist: a promise that names a test is worth nothing when the test is gone. A document may
// also name the beginning of several tests, as for go test -run.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	names := testNames(t, root)
	documents, err := filepath.Glob(filepath.Join(root, "doc", "*.md"))
	if err != nil || len(documents) == 0 {
		t.Fatalf("found %d documents: %v", len(documents), err)
	}

	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range testName.FindAllString(string(text), -1) {
			if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name) }) {
				t.Errorf("%s names %s, and there is no such test", filepath.Base(document), name)
			}
		}
	}
}

// testNames returns the names of all tests of the module.
func testNames(t *testing.T, root string) (names []string) {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return fs.SkipDir
		case !strings.HasSuffix(file, "_test.go"):
			return nil
		}

		text, err := os.ReadFile(file)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestSDKPageIsTheExamples: the code on the page is what the packages' examples run, to the letter.
func TestSDKPageIsTheExamples(t *testing.T) {
	root := filepath.Join("..", "..")
	page := readText(t, filepath.Join(root, "doc", "sdk.md"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(page, -1)
	packages := []string{"camera", "viewer", "relay"}
	if len(blocks) != len(packages) {
		t.Fatalf("%d pieces of code, want one of each of %v", len(blocks), packages)
	}

	for i, dir := range packages {
		example := readText(t, filepath.Join(root, dir, "example_test.go"))
		code := blocks[i][1]
		if !strings.Contains(example, "\n"+code) {
			t.Errorf("doc/sdk.md has code for %s that is not in its example:\n%s", dir, code)
		}
		if n := strings.Count(code, "\n"); n > 40 {
			t.Errorf("the example of %s has %d lines", dir, n)
		}
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
