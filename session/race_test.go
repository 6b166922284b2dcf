//go:build race

package session

// underRace reports whether the race detector is on. In Go 1.26 its own stack overflows (SIGSEGV on goroutine 0, in
// internal/synctest.Run) after a process has spent about half an hour in bubbles with timers. So tests that spend long
// in bubbles are skipped under it.
const underRace = true
