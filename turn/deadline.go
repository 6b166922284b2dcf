package turn

import (
	"sync/atomic"
	"time"
)

// deadlineSlack is how much too early a deadline may be. Setting one for every read and write would cost a good part of
// their time.
const deadlineSlack = time.Second

// deadline is a read or write deadline of a connection. It is set again only if that changes it by deadlineSlack.
type deadline struct {
	at atomic.Int64 // when it was set to, in Unix nanoseconds
}

// extend moves the deadline to a time that long from now. If the clock was put back, it sets the deadline anew.
func (d *deadline) extend(set func(time.Time) error, by time.Duration) error {
	to := time.Now().Add(by)
	if lag := to.UnixNano() - d.at.Load(); lag >= 0 && lag < int64(deadlineSlack) {
		return nil
	}
	d.at.Store(to.UnixNano())
	return set(to)
}
