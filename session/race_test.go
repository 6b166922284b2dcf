//go:build race

package session

// underRace says that the race detector looks on. Of Go 1.26 it dies of a stack of its own that overflows (SIGSEGV on goroutine 0, in
// internal/synctest.Run) after about half an hour of a process' bubbles with timers; so what takes long in bubbles is not done under it.
const underRace = true
