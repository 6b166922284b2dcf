package rtsp

const (
	brokenSteps = 8    // this many wrong steps raise doubts about the numbers
	sampleSteps = 1024 // packets judged together
)

// sequence checks the sequence numbers of packets that arrive over TCP, where a gap means that the camera itself left
// packets out. Some cameras number their packets at random, or not at all; those numbers mean nothing.
type sequence struct {
	started      bool
	broken       bool
	next         uint16
	steps, wrong int
}

// follows reports whether the packet with that number follows the previous one, as far as numbers can tell.
func (s *sequence) follows(number uint16) bool {
	ok := !s.started || number == s.next
	s.started, s.next = true, number+1
	if s.broken {
		return true
	}

	if s.steps++; s.steps == sampleSteps {
		s.steps, s.wrong = 0, 0
	}
	if !ok {
		s.wrong++
		s.broken = s.wrong >= brokenSteps && 2*s.wrong > s.steps
	}

	return ok
}
