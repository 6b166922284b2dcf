package noleak

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// What ends late is no leak, and what does not end is one.
func TestOnlyWhatStaysIsALeak(t *testing.T) {
	stop := make(chan struct{})
	go func() { <-stop }()
	looks := 0
	find := func(...goleak.Option) error {
		if looks++; looks == 3 {
			close(stop)
		}
		return goleak.Find()
	}

	if code := check(goleak.Find, 0); code != 1 {
		t.Errorf("exit %d while a goroutine runs", code)
	}
	if code := check(find, time.Hour); code != 0 || looks < 3 {
		t.Errorf("exit %d after %d looks, though the goroutine has ended", code, looks)
	}
}
