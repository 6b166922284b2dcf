// Package bubble runs tests in bubbles of testing/synctest, under the race detector too. Only tests import it.
//
// In Go 1.26 the race detector gives all timers of a bubble one thread state, and does not lock it. Two goroutines that
// receive from timers that are due, at the same moment on two processors, corrupt it; then it crashes (SIGSEGV on
// goroutine 0, or "ThreadSanitizer: CHECK failed") in whatever the bubble does next. A bubble needs a crowd of timers
// for that, as a network of the tests of session has. See golang.org/issue/78156.
package bubble

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Test runs f in a new bubble, as synctest.Test does. Under the race detector Go code runs on one processor until all
// bubbles have ended: the detector orders accesses by what synchronizes them, and needs no second one to find a race.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if RaceDetector {
		takeOneProcessor()
		defer giveProcessorsBack()
	}
	synctest.Test(t, f)
}

var processors struct {
	sync.Mutex
	bubbles int // that run
	before  int // what GOMAXPROCS was before the first of them
}

func takeOneProcessor() {
	processors.Lock()
	defer processors.Unlock()
	if processors.bubbles == 0 {
		processors.before = runtime.GOMAXPROCS(1)
	}
	processors.bubbles++
}

func giveProcessorsBack() {
	processors.Lock()
	defer processors.Unlock()
	processors.bubbles--
	if processors.bubbles == 0 {
		runtime.GOMAXPROCS(processors.before)
	}
}
