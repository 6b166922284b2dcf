package expiry

import (
	"os"
	"strings"
	"testing"
)

// Two processes must give one boot the same name, or each would count as a new boot.
func TestStartOfTheMachineIsTheKernels(t *testing.T) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	if b := boot(); b.ID != strings.TrimSpace(string(id)) {
		t.Errorf("this boot is called %q, and by the kernel %q", b.ID, id)
	}
}
