package expiry

import (
	"os"
	"strings"

	"github.com/peephole-cam/peephole/clock"
)

// boot returns the machine's present boot, as the kernel names it.
func boot() Boot {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return sinceStart()
	}
	return Boot{strings.TrimSpace(string(id)), clock.SinceBoot()}
}
