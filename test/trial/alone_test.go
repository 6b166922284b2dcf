//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// failing is a package whose tests fail so many times before they pass: as many as FAILURES says.
const failing = `package failing

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("EXTRA") == "left behind" {
		code = 1
	}
	os.Exit(code)
}

func often(t *testing.T) {
	most, _ := strconv.Atoi(os.Getenv("FAILURES"))
	path := "counted." + t.Name()
	b, _ := os.ReadFile(path)
	if len(b) < most {
		os.WriteFile(path, append(b, '.'), 0o600)
		fmt.Println(os.Getenv("EXTRA"))
		if os.Getenv("EXTRA") == "panic" {
			panic("planted")
		}
		t.Error("planted")
	}
}

func TestA(t *testing.T) { t.Run("row", func(t *testing.T) {}); often(t) }
func TestAB(t *testing.T) {}
func TestC(t *testing.T) { if os.Getenv("EXTRA") == "four" { often(t) } }
func TestD(t *testing.T) { if os.Getenv("EXTRA") == "four" { often(t) } }
func TestE(t *testing.T) { if os.Getenv("EXTRA") == "four" { often(t) } }
`

// A test that fails beside others is forgiven if it passes alone three times in a row, and nothing else is.
func TestAlone(t *testing.T) {
	script, err := filepath.Abs("../../scripts/alone.sh")
	if err != nil {
		t.Fatal(err)
	}
	const (
		forgiven = "failed beside other tests, passed alone: example.com/failing TestA\n"
		refused  = "nothing is tried alone\n"
	)
	for name, tt := range map[string]struct {
		failures, extra string
		passes          bool
		says            string
	}{
		"once":         {failures: "1", passes: true, says: forgiven},
		"again alone":  {failures: "2", says: "FAIL\texample.com/failing"},
		"four of them": {failures: "1", extra: "four", says: "4 tests failed; only 1 to 3 are tried alone\n"},
		"a panic":      {failures: "1", extra: "panic", says: refused},
		"a race":       {failures: "1", extra: "WARNING: DATA RACE", says: refused},
		"no test":      {failures: "0", extra: "left behind", says: "0 tests failed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{
				"go.mod":     "module example.com/failing\n\ngo 1.26\n",
				"go_test.go": failing,
			} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			env := append(os.Environ(), "GOFLAGS=-mod=mod", "FAILURES="+tt.failures, "EXTRA="+tt.extra)

			beside := exec.CommandContext(t.Context(), "go", "test", "-json", "-count=1", ".")
			beside.Dir, beside.Env = dir, env
			report, err := beside.Output()
			if err == nil {
				t.Fatalf("nothing failed:\n%s", report)
			}
			if err := os.WriteFile(filepath.Join(dir, "report"), report, 0o600); err != nil {
				t.Fatal(err)
			}

			alone := exec.CommandContext(t.Context(), script, "report")
			alone.Dir, alone.Env = dir, env
			out, err := alone.CombinedOutput()
			if passed := err == nil; passed != tt.passes || !strings.Contains(string(out), tt.says) {
				t.Errorf("passed: %v, want %v and %q:\n%s\nreport:\n%s", passed, tt.passes, tt.says, out, report)
			}
		})
	}
}
