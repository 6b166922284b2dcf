package signaling

import (
	"fmt"
	"time"
)

// IdleCutError means that something on the way cuts connections that were idle for some time.
type IdleCutError struct{ After time.Duration }

func (e *IdleCutError) Error() string {
	return fmt.Sprintf("a proxy on the way cuts connections that are idle for %.0f s: have it wait for 60 s",
		e.After.Seconds())
}

const (
	// minSilence is the shortest silence that can be the reason for a cut.
	minSilence = 2 * time.Second
	// silenceTolerance is how much two silences may differ if the same limit has ended both.
	silenceTolerance = time.Second
)

// idleCuts detects that something cuts connections because they are idle, and chooses how often to ping to prevent
// that. One goroutine uses it.
type idleCuts struct {
	last  time.Duration // the silence at the end of the last connection; 0 if it was not cut
	limit time.Duration // the limit that was detected; 0 if none
}

// record notes the silence after which the other side cut a connection, or 0 if it did not. It returns an *IdleCutError
// if idleness was the reason.
func (s *idleCuts) record(silence time.Duration) error {
	if silence < minSilence {
		s.last = 0
		return nil
	}

	same := s.last > 0 && (silence-s.last).Abs() <= silenceTolerance
	s.last = silence
	if !same {
		return nil
	}
	s.limit = silence
	return &IdleCutError{silence}
}

// pingInterval returns how often to ping.
func (s *idleCuts) pingInterval() time.Duration {
	if s.limit == 0 {
		return pingInterval
	}
	return min(pingInterval, s.limit/2)
}
