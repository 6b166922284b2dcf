package bubble

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestDueTimersOfACrowd: under the race detector this crashed within a second without one processor.
func TestDueTimersOfACrowd(t *testing.T) {
	Test(t, func(*testing.T) {
		var crowd sync.WaitGroup
		for range 4 {
			crowd.Go(func() {
				for range 50_000 {
					<-time.NewTimer(0).C
				}
			})
		}
		crowd.Wait()
	})
}

func TestProcessorsComeBack(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	inside := 0

	Test(t, func(*testing.T) { inside = runtime.GOMAXPROCS(0) })

	if RaceDetector && inside != 1 {
		t.Errorf("a bubble under the race detector had %d processors", inside)
	}
	if !RaceDetector && inside != before {
		t.Errorf("a bubble had %d processors of %d", inside, before)
	}
	if after := runtime.GOMAXPROCS(0); after != before {
		t.Errorf("%d processors after the bubble, and %d before it", after, before)
	}
}
