package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const sample = `package sample

const most = 64

var rules = []struct {
	size int
	bad  bool
}{{8, 1 < 0}, {16, false}}

func open(n int, ok bool) (bool, error) {
	if n > most || !ok {
		return false, nil
	}
	if n == 0 {
		ok = !ok
	}
	return ok, nil
}
`

func TestFindSitesNamesEveryFault(t *testing.T) {
	sites, err := findSites("sample/sample.go", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}

	want := []string{
		"sample/sample.go -: most = 64: 64 becomes 128",
		"sample/sample.go -: {8, 1 < 0}: 8 becomes 16",
		"sample/sample.go -: 1 < 0: < becomes <=",
		"sample/sample.go -: 1 < 0: 1 becomes 2",
		"sample/sample.go -: 1 < 0: 0 becomes 1",
		"sample/sample.go -: {16, false}: 16 becomes 32",
		"sample/sample.go -: {16, false}: false becomes true",
		"sample/sample.go open: n > most || !ok: n > most || !ok becomes false && (n > most || !ok)",
		"sample/sample.go open: n > most || !ok: || becomes &&",
		"sample/sample.go open: n > most: > becomes >=",
		"sample/sample.go open: return false, nil: false becomes true",
		"sample/sample.go open: n == 0: == becomes !=",
		"sample/sample.go open: if n == 0 {: 0 becomes 1",
	}

	var got []string
	for _, s := range sites {
		got = append(got, s.key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPlantChangesOnlyItsPlace(t *testing.T) {
	sites, err := findSites("sample/sample.go", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sites {
		planted := string(s.plant([]byte(sample)))
		back := planted[:s.offset] + s.old + planted[s.offset+len(s.new):]
		if planted == sample || back != sample {
			t.Errorf("%s: planted as\n%s", s.key, planted)
		}
	}
}

func TestDrawIsDecidedByTheSeed(t *testing.T) {
	sites, err := findSites("sample/sample.go", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile("")

	if a, b := draw(sites, all, 3, 7), draw(sites, all, 3, 7); !slices.Equal(a, b) || len(a) != 3 {
		t.Errorf("one seed drew %v and %v", a, b)
	}
	if a, b := draw(sites, all, 3, 7), draw(sites, all, 3, 8); slices.Equal(a, b) {
		t.Errorf("two seeds drew %v", a)
	}

	for i, gone := range sites {
		without := draw(slices.Delete(slices.Clone(sites), i, i+1), all, 3, 7)
		for _, s := range draw(sites, all, 3, 7) {
			if s != gone && !slices.Contains(without, s) {
				t.Errorf("without %s, %s is drawn no more", gone.key, s.key)
			}
		}
	}

	if got := draw(sites, regexp.MustCompile("most = 64"), 0, 7); len(got) != 1 {
		t.Errorf("-run matched %d sites, want 1", len(got))
	}
	if got := draw(sites, all, 0, 7); len(got) != len(sites) {
		t.Errorf("-n 0 drew %d of %d", len(got), len(sites))
	}
}

// A bound that no test checks is the only survivor in a module whose tests check one bound and forget the other.
func TestUntestedBoundIsTheOneSurvivor(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	write("go.mod", "module sample\n\ngo 1.26\n")
	write("sample.go", `package sample

func small(n int) bool { return n < 10 }

func large(n int) bool { return n > 20 }

func unreached(n int) bool { return n > 30 }
`)

	write("sample_test.go", `package sample

import "testing"

func TestSmall(t *testing.T) {
	if !small(9) || small(10) {
		t.Error("wrong bound")
	}
	large(25)
}
`)

	write("argued.txt", "sample.go large: n > 20: > becomes >=\n  nobody looks at it\n")
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "")

	arguments, err := readArguments("argued.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var open int

	err = load(t.Context(), []string{"."}, ".", func(p target) error {
		tr := trial{target: p, arguments: arguments, outcomes: make(map[outcome]int)}
		err := tr.run(t.Context(), &out, p.sites)
		open += tr.outcomes[survived]
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	if open != 1 || !strings.Contains(out.String(), "sample.go large: return n > 20: 20 becomes 40\n") {
		t.Errorf("%d survivors are open, want the doubled bound alone:\n%s", open, out.String())
	}
	const want = "sample: 4 of 4 places tried, 2 noticed, 0 by hanging, 1 unnoticed, 1 argued\n"
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("got\n%swant it to end\n%s", out.String(), want)
	}

	out.Reset()
	err = load(t.Context(), []string{"."}, "Nothing", func(p target) error {
		return trial{target: p, outcomes: make(map[outcome]int)}.run(t.Context(), &out, p.sites)
	})
	if want := "sample: 0 of 0 places tried"; err != nil || !strings.HasPrefix(out.String(), want) {
		t.Errorf("without a test: %q, %v", out.String(), err)
	}
}

func TestLoadRefusesTestsThatAlreadyFail(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":      "module sample\n\ngo 1.26\n",
		"a.go":        "package sample\n",
		"a_test.go":   "package sample\n\nimport \"testing\"\n\nfunc TestRed(t *testing.T) { t.Error(\"red\") }\n",
		"argued.txt":  "",
		"unused.text": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	t.Chdir(dir)
	t.Setenv("GOFLAGS", "")

	err := run(context.Background(), []string{"-argued", "argued.txt", "."})
	if err == nil || !strings.Contains(err.Error(), "without a fault") {
		t.Errorf("got %v, want the tests' own failure", err)
	}
}

// Every key in argued.txt names code that exists.
func TestArgumentsNameExistingSites(t *testing.T) {
	arguments, err := readArguments("argued.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]map[string]bool) // by file, then by key

	for key := range arguments {
		file, _, _ := strings.Cut(key, " ")
		if known[file] == nil {
			source, err := os.ReadFile(filepath.Join("..", "..", file))
			if err != nil {
				t.Error(err)
				continue
			}
			sites, err := findSites(file, source)
			if err != nil {
				t.Fatal(err)
			}

			known[file] = make(map[string]bool)
			for _, s := range sites {
				known[file][s.key] = true
			}
		}

		if !known[file][key] {
			t.Errorf("no such place any more: %s", key)
		}
	}
}

func TestArgumentsAreReadWhole(t *testing.T) {
	for name, row := range map[string]struct {
		content, wrong string
	}{
		"no argument":       {"a.go f: x\nb.go f: y\n  because\n", ":2: the survivor above has no argument"},
		"none at the end":   {"a.go f: x\n", "the last survivor has no argument"},
		"no survivor":       {"  because\n", ":1: an argument without a survivor"},
		"two lines of it":   {"# why\na.go f: x\n  because\n  of that\n", ""},
		"nothing but notes": {"# why\n\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "argued.txt")
			if err := os.WriteFile(file, []byte(row.content), 0o600); err != nil {
				t.Fatal(err)
			}

			arguments, err := readArguments(file)
			if row.wrong == "" && err != nil ||
				row.wrong != "" && (err == nil || !strings.Contains(err.Error(), row.wrong)) {
				t.Fatalf("got %v, want %q", err, row.wrong)
			}
			if got := arguments["a.go f: x"]; name == "two lines of it" && got != "because of that" {
				t.Errorf("read %q", got)
			}
		})
	}
}
