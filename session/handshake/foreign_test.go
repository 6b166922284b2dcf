package handshake

import (
	"fmt"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/sframe"
)

// A fault of the other end, or a message that comes late or too fast, is not the relay's doing.
func TestOnlyTheRelaysDoingIsForeign(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{ErrRecord, true},
		{ErrStill, true},
		{sframe.ErrOpen, true},
		{sframe.ErrHeader, true},
		{sframe.ErrKID, true},
		{NotReplyError{envelope.ErrNotForUs}, true},
		{ErrMalformed, false},
		{ErrFrame, false},
		{ErrTooFast, false},
		{ErrRecordCopy, false},
		{ErrRecordLate, false},
		{sframe.ErrReplayed, false},
	} {
		if got := IsForeign(fmt.Errorf("open: %w", tt.err)); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}

// What the other end sealed is harmless if it only comes again, late or too fast. Nothing else is.
func TestOnlyAuthenticRecordsAreHarmless(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{ErrTooFast, true},
		{ErrRecordCopy, true},
		{ErrRecordLate, true},
		{ErrRecord, false},
		{ErrMalformed, false},
		{ErrStill, false},
		{sframe.ErrReplayed, false}, // it has not been opened
		{nil, false},
	} {
		if got := IsHarmless(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}
