package clock

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// readsBoot is an environment variable that makes the test process print sinceBoot and exit.
const readsBoot = "PEEPHOLE_TEST_READS_BOOT"

func TestMain(m *testing.M) {
	if os.Getenv(readsBoot) != "" {
		fmt.Println(int64(sinceBoot()))
		return
	}
	os.Exit(m.Run())
}

// A test cannot suspend the machine, but a time namespace can make it look suspended: in it, the clock that counts
// suspended time is ahead of the one that does not (time_namespaces(7)).
func TestBootClockCountsSuspendedTime(t *testing.T) {
	const asleep = 12 * time.Hour
	arguments := []string{"--time", "--monotonic", "0", "--boottime", fmt.Sprint(int(asleep.Seconds())), "--fork",
		os.Args[0]}
	if os.Geteuid() != 0 {
		arguments = append([]string{"--user", "--map-root-user"}, arguments...)
	}

	cmd := exec.CommandContext(t.Context(), "unshare", arguments...)
	cmd.Env = append(os.Environ(), readsBoot+"=1")
	var complaint strings.Builder
	cmd.Stderr = &complaint

	before := sinceBoot()
	out, err := cmd.Output()
	after := sinceBoot()
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("no time namespace can be had here: %v: %s", err, complaint.String())
		}
		t.Fatalf("make time namespace: %v: %s", err, complaint.String())
	}

	var ns int64
	if _, err := fmt.Sscan(string(out), &ns); err != nil {
		t.Fatalf("read %q: %v", out, err)
	}
	if got := time.Duration(ns) - asleep; got < before || got > after {
		t.Errorf("where the machine slept for %v, the clock says %v; want that much more than %v", asleep,
			time.Duration(ns), before)
	}
}
