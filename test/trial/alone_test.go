//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// failingSource is a package whose TestA fails the first FAILURES times that it runs; EXTRA says what else goes wrong.
const failingSource = `package failing

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

func fails(t *testing.T) bool {
	failures, _ := strconv.Atoi(os.Getenv("FAILURES"))
	counted := "counted." + t.Name()
	runs, _ := os.ReadFile(counted)
	os.WriteFile(counted, append(runs, '.'), 0o600)
	return len(runs) < failures
}

func TestA(t *testing.T) {
	t.Run("row", func(t *testing.T) {})
	switch extra := os.Getenv("EXTRA"); {
	case fails(t):
		fmt.Println(os.Getenv("SAYS"))
		if extra == "panic" {
			panic("planted")
		}
		t.Error("planted")
	case extra == "skip":
		t.Skip("planted")
	}
}

func TestAB(t *testing.T) {}

func TestC(t *testing.T) { four(t) }
func TestD(t *testing.T) { four(t) }
func TestE(t *testing.T) { four(t) }

func four(t *testing.T) {
	if os.Getenv("EXTRA") == "four" {
		t.Error("planted")
	}
}

func TestF(t *testing.T) {
	if os.Getenv("EXTRA") == "exit" {
		os.Exit(1)
	}
}
`

// otherSource is another package, whose TestMain may fail.
const otherSource = `package other

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("EXTRA") == "main" {
		code = 1
	}
	os.Exit(code)
}

func TestOther(t *testing.T) {}
`

// A failed test is forgiven only if it then passes three times in a row alone, and if nothing else was wrong.
func TestAlone(t *testing.T) {
	script, err := filepath.Abs("../../scripts/alone.sh")
	if err != nil {
		t.Fatal(err)
	}
	const (
		forgiven = "failed beside other tests, passed alone: example.com/failing TestA\n"
		crashed  = "a panic, a data race or a test that hung:"
	)
	for name, tt := range map[string]struct {
		failures string
		extra    string
		says     string // by TestA when it fails
		other    string // the source of the other package
		passes   bool
		want     string
	}{
		"once":                {failures: "1", passes: true, want: forgiven},
		"again alone":         {failures: "2", want: "FAIL\texample.com/failing"},
		"four of them":        {failures: "1", extra: "four", want: "4 tests failed, more than 3:"},
		"a panic":             {failures: "1", extra: "panic", want: crashed},
		"a panic of another":  {failures: "1", says: "    panic: planted", want: crashed},
		"a race":              {failures: "1", says: "WARNING: DATA RACE", want: crashed},
		"something left":      {failures: "1", says: "left running, now killed: 1", want: "left something behind:"},
		"a process that ends": {failures: "1", extra: "exit", want: "a test did not end:"},
		"skipped alone":       {failures: "1", extra: "skip", want: "TestA did not pass 3 times:"},
		"TestMain":            {failures: "0", extra: "main", want: "something failed, but no test did:"},
		"TestMain too":        {failures: "1", extra: "main", want: "a package failed without a failed test"},
		"does not build": {
			failures: "1",
			other:    "package other\n\nvar x int = true\n",
			want:     "a package failed without a failed test",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Mkdir(filepath.Join(dir, "other"), 0o700); err != nil {
				t.Fatal(err)
			}
			if tt.other == "" {
				tt.other = otherSource
			}
			write("go.mod", "module example.com/failing\n\ngo 1.26\n")
			write("failing_test.go", failingSource)
			write("other/other_test.go", tt.other)
			env := append(os.Environ(), "GOFLAGS=-mod=mod", "FAILURES="+tt.failures, "EXTRA="+tt.extra, "SAYS="+tt.says)

			first := exec.CommandContext(t.Context(), "go", "test", "-json", "-count=1", "./...")
			first.Dir, first.Env = dir, env
			report, err := first.Output()
			if err == nil {
				t.Fatalf("nothing failed:\n%s", report)
			}
			write("report", string(report))

			again := exec.CommandContext(t.Context(), script, "report")
			again.Dir, again.Env = dir, env
			out, err := again.CombinedOutput()
			if passes := err == nil; passes != tt.passes || !strings.Contains(string(out), tt.want) {
				t.Errorf("passes: %t, want %t and %q:\n%s\nreport:\n%s", passes, tt.passes, tt.want, out, report)
			}
		})
	}
}
