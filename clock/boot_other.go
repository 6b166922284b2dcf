//go:build !linux && !darwin && !windows

package clock

import "time"

var started = time.Now()

// sinceBoot reads Go's own monotonic clock. On OpenBSD it counts suspended time. FreeBSD, NetBSD and illumos document
// no clock that does, so only the wall clock counts it there. A suspension goes unnoticed if the wall clock is set back
// by as much meanwhile.
func sinceBoot() time.Duration { return time.Since(started) }
