package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot reads CLOCK_MONOTONIC, which counts suspended time on macOS and iOS; CLOCK_UPTIME_RAW and Go's own clock do
// not (clock_gettime(3)). If it could not be read, it would contradict the wall clock, and everything would soon count
// as old.
func sinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}
