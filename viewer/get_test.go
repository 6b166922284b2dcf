package viewer

import (
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/session"
)

// Get connects again after errors that another connection can mend, and after no others.
func TestWorthRetrying(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{session.ErrLost, true},
		{bulk.ErrBroken, true},
		{bulk.ErrBusy, true},
		{&Refusal{Code: "busy"}, true},
		{&Refusal{Code: session.BulkRefusal}, false},
		{ErrNoCamera, false},
		{bulk.ErrForged, false},
		{bulk.ErrDiskFull, false},
		{fs.ErrClosed, false},
		{&fs.PathError{Op: "write", Path: "log.part", Err: syscall.EIO}, false},
	} {
		if got := worthRetrying(fmt.Errorf("get %q: %w", "log", tt.err)); got != tt.want {
			t.Errorf("%v: %t, want %t", tt.err, got, tt.want)
		}
	}
}
