package e2e

import "runtime"

// forks are run by one thread that never ends. Pdeathsig (prctl(2)) kills a child when the thread that forked it ends,
// not the process; and a lab's threads end with the lab, whatever else they have forked.
var forks = func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()

	return work
}()

// forked runs a function that starts a process.
func forked(start func() error) error {
	done := make(chan error)
	forks <- func() { done <- start() }
	return <-done
}
