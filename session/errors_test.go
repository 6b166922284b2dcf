package session

import (
	"errors"
	"testing"
)

// A session that never connected is not called lost, but it is tried again as if it were.
func TestNoWayIsNotCalledLost(t *testing.T) {
	for to, want := range map[string]string{
		"camera": "no way to the camera was found: run viewer doctor at both ends",
		"viewer": "no way to the viewer was found: run viewer doctor at both ends",
	} {
		if err := error(noWayError{to}); err.Error() != want || !errors.Is(err, ErrLost) {
			t.Errorf("says %q, wraps ErrLost: %t; want %q", err, errors.Is(err, ErrLost), want)
		}
	}
}
