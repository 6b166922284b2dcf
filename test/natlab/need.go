//go:build linux

package natlab

import (
	"os"
	"os/exec"
	"testing"
)

// Need skips a test on a developer's machine that cannot make labs, and fails it in CI, where every tier must run.
func Need(t testing.TB) {
	t.Helper()
	var what string
	switch {
	case os.Geteuid() != 0:
		what = "root: network namespaces want it"
	case !found("ip"), !found("nft"):
		what = "ip and nft: run make deps"
	case !exists("/dev/net/tun"):
		what = "/dev/net/tun: this kernel has no TUN"
	default:
		return
	}
	missing(t, what)
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("missing: %s", what)
	}
	t.Skipf("missing: %s", what)
}

func found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
