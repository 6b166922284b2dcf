package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The build names the Go release that it uses: that of go.mod, the one that the environment demands, or the installed
// one if go.mod's is unavailable.
func TestBuildSaysWhichGoItHas(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^toolchain (go1\.\d+\.\d+)$`).FindSubmatch(module)
	if named == nil {
		t.Fatal("go.mod names no release to build with")
	}

	for _, tt := range []struct{ name, toolchain, want string }{
		{"the environment's", "go1.99.9", "go1.99.9"},
		{"out of reach", "", "local"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "scripts/toolchain.sh")
			cmd.Dir = "../.."
			cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+tt.toolchain, "GOPROXY=off", "GOMODCACHE="+t.TempDir())
			var said bytes.Buffer
			cmd.Stderr = &said
			out, err := cmd.Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}

			if told := strings.Contains(said.String(), string(named[1])+" cannot be downloaded here"); told &&
				tt.toolchain != "" {
				t.Errorf("it said %s", said.String())
			}
		})
	}
}
