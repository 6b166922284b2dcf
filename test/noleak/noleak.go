// Package noleak fails a package's tests if they leave goroutines behind.
package noleak

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end that were told to. goleak alone gives them half a second, which is
// too little on a busy machine.
const patience = 30 * time.Second

// Main runs a package's tests and exits. It must be what TestMain does last.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		code = check(goleak.Find, patience)
	}
	os.Exit(code)
}

// check looks until there is nothing to find, and reports what there is still when the time is over.
func check(find func(...goleak.Option) error, patience time.Duration) (code int) {
	for late := time.Now().Add(patience); ; {
		err := find()
		if err == nil {
			return 0
		}
		if time.Now().After(late) {
			fmt.Fprintln(os.Stderr, "the tests passed, but", err)
			return 1
		}
	}
}
