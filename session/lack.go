package session

import (
	"fmt"
	"math"
	"sync"
	"time"
)

const (
	// Pictures are left out lackTimes, and for lackAfter, before the person is told; and lackUntil after the last it is over.
	lackTimes = 3
	lackAfter = 5 * time.Second
	lackUntil = 10 * time.Second
)

// lack is what is said of a network that does not carry the camera's stream.
type lack struct {
	mu          sync.Mutex
	since, last time.Time // guarded by mu; when pictures were left out, without a pause of lackUntil between
	times       int       // guarded by mu; how often
	carried     float64   // guarded by mu; bit/s, averaged
	said        float64   // guarded by mu; bit/s, that text speaks of
	text        string    // guarded by mu
}

// left is told that a picture was left out: the network carries so much, 0 if that is not known yet, and the stream wants so much, in
// bit/s.
func (l *lack) left(now time.Time, carried, wanted float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.last) > lackUntil {
		l.since, l.times, l.carried, l.text = now, 0, 0, ""
	}
	l.last = now
	l.times++
	if l.carried == 0 {
		l.carried = carried
	}
	l.carried = (l.carried + carried) / 2
	if l.text != "" && math.Abs(l.carried-l.said) <= l.said/3 { // else it would be said anew all the time
		return
	}
	l.said = l.carried
	measured := ""
	if l.said > 0 && l.said < wanted { // where packets are dropped and never wait, it cannot be measured well
		measured = fmt.Sprintf("%.0f kbit/s, ", l.said/1000)
	}
	l.text = fmt.Sprintf("the network is too slow for this camera's stream: %s%.0f kbit/s wanted: choose the camera's substream", measured, wanted/1000)
}

// String is empty when there is nothing to tell.
func (l *lack) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times < lackTimes || l.last.Sub(l.since) < lackAfter || time.Since(l.last) > lackUntil {
		return ""
	}
	return l.text
}
