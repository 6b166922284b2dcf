package evilcloud

import "math/rand/v2"

// shelf is a set of names from which one can be drawn at random, in constant time.
type shelf struct {
	names []([32]byte)
	place map[[32]byte]int
}

func newShelf() *shelf { return &shelf{place: make(map[[32]byte]int)} }

func (s *shelf) put(name [32]byte) {
	if _, there := s.place[name]; !there {
		s.place[name] = len(s.names)
		s.names = append(s.names, name)
	}
}

func (s *shelf) take(name [32]byte) {
	at, there := s.place[name]
	if !there {
		return
	}
	last := s.names[len(s.names)-1]
	s.names[at], s.place[last] = last, at
	s.names = s.names[:len(s.names)-1]
	delete(s.place, name)
}

// other returns a random name other than than.
func (s *shelf) other(than [32]byte) (name [32]byte, ok bool) {
	n := len(s.names)
	at, there := s.place[than]
	if there {
		n--
	}

	if n <= 0 {
		return name, false
	}
	i := rand.IntN(n)
	if there && i >= at {
		i++
	}

	return s.names[i], true
}
