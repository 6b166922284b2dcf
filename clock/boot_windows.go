package clock

import (
	"time"

	"golang.org/x/sys/windows"
)

// sinceBoot reads GetTickCount64, which counts suspended time, in steps of 10 to 16 ms.
func sinceBoot() time.Duration { return windows.DurationSinceBoot() }
