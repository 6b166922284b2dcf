//go:build !race

package bubble

// RaceDetector reports whether this test was built with -race.
const RaceDetector = false
