package handshake

import "errors"

var (
	// ErrRecordCopy is returned for an authentic record that has opened before. Nothing of it may be used.
	ErrRecordCopy = errors.New("record was delivered before")
	// ErrRecordLate is returned for an authentic record that comes too late: so many newer ones have opened that nobody
	// can tell whether it is a copy, or a newer one of its type has replaced it. Nothing of it may be used.
	ErrRecordLate = errors.New("record is too late")
)

// recordWindowSize is how many counters a window covers, the newest included. By two ways records overtake each other,
// but a start has only some forty of them.
const recordWindowSize = 64

// recordWindow remembers which of the newest counters were accepted, so that each is accepted once and in any order
// (RFC 4303, section 3.4.3). Bit n of seen is set if newest-n was accepted. The zero value has accepted none.
type recordWindow struct {
	newest uint64
	seen   uint64
}

// accept notes a counter. The record that carries it must have opened, so that a forged one cannot displace a genuine
// one. Errors: ErrRecordCopy, ErrRecordLate.
func (w *recordWindow) accept(counter uint64) error {
	if counter > w.newest {
		w.seen <<= counter - w.newest // 0 once that is the size of the window
		w.newest = counter
	}

	behind := w.newest - counter
	if behind >= recordWindowSize {
		return ErrRecordLate
	}
	if w.seen>>behind&1 != 0 {
		return ErrRecordCopy
	}
	w.seen |= 1 << behind
	return nil
}
