package signaling

import (
	"maps"
	"slices"
	"time"
)

const (
	firstDoubt = 2 * time.Second
	maxDoubt   = 5 * time.Minute
	// openWait is how long a relay may leave the opening of a mailbox without an answer, after a restart with all its clients there at once.
	openWait = 30 * time.Second
)

// doubt is told that the relay refused to open a mailbox on l. The refusal may be of this connection alone, whose nonce somebody has changed,
// or of this hour, when a quota was used up: a device that took it for good would stay deaf. So the connection is made anew, after a while that is
// longer each time, if somebody here still wants the mailbox.
func (c *Client) doubt(l *link, refusal *Error) {
	if !l.mayBeWrong(refusal) {
		return
	}
	timer := time.AfterFunc(c.nextDoubt(), func() {
		if c.wants(l) {
			l.giveUp(refusal)
		}
	})
	if !l.ends(timer) {
		timer.Stop()
	}
}

// mayBeWrong notes a refusal; false: it is doubted already.
func (l *link) mayBeWrong(refusal *Error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsigned = l.unsigned || refusal.Code == CodeSignature
	first := !l.doubted
	l.doubted = true
	return first
}

// ends has close stop the timer; false: that was before.
func (l *link) ends(timer *time.Timer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubting = timer
	return l.waiting != nil
}

func (c *Client) nextDoubt() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.doubted) > 2*maxDoubt {
		c.doubtFor = firstDoubt
	} else {
		c.doubtFor = min(2*c.doubtFor, maxDoubt)
	}
	c.doubted = time.Now()
	return c.doubtFor
}

// wants says whether a mailbox that was refused on l is still wanted, or whether a signature was refused: then the next one is too. If not, l may be
// doubted again.
func (c *Client) wants(l *link) bool {
	l.mu.Lock()
	l.doubted = false
	refused, signature := slices.Collect(maps.Keys(l.refused)), l.unsigned
	l.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range refused {
		if c.received[name] != nil || c.kept[name] != nil {
			return true
		}
	}
	return signature
}

// giveUp ends the connection, and says why.
func (l *link) giveUp(why error) {
	l.mu.Lock()
	l.why = why
	l.mu.Unlock()
	l.conn.CloseNow()
}

// ignored says whether a mailbox has waited too long to be opened.
func (l *link) ignored(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.opens {
		if now.Sub(o.at) > openWait {
			return true
		}
	}
	return false
}

// lost is why the connection has ended.
func (l *link) lost(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why != nil {
		return l.why
	}
	return err
}
