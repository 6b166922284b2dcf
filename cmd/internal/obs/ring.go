package obs

import (
	"bytes"
	"sync"
)

// RingSize is how much of a log a Ring keeps, in bytes.
const RingSize = 256 << 10

// Ring keeps the newest lines of a log in memory. It implements io.Writer, and a logger of NewLogger can write to it
// beside another writer. The zero Ring is empty. Its methods may be called from several goroutines.
//
// It redacts nothing itself: it holds what is in the log already.
type Ring struct {
	mu   sync.Mutex
	kept []byte // guarded by mu; whole lines, at most 2*RingSize bytes, of which the newest RingSize count
}

// Write adds lines, which must be whole, as a logger writes them, and drops the oldest if there is no room. It ignores
// a write of more than RingSize bytes. Write returns no error.
func (r *Ring) Write(lines []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(lines) > RingSize {
		return len(lines), nil
	}

	if len(r.kept)+len(lines) > 2*RingSize { // seldom, so that what is moved does not matter
		r.kept = r.kept[:copy(r.kept, newestLines(r.kept))]
	}
	r.kept = append(r.kept, lines...)
	return len(lines), nil
}

// Lines returns a copy of the newest lines, oldest first: at most RingSize bytes.
func (r *Ring) Lines() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(newestLines(r.kept))
}

// newestLines returns the whole lines among the last RingSize bytes of lines.
func newestLines(lines []byte) []byte {
	cut := len(lines) - RingSize
	if cut <= 0 {
		return lines
	}
	end := bytes.IndexByte(lines[cut-1:], '\n') // the byte before them may end a line
	if end < 0 {
		return nil
	}
	return lines[cut+end:]
}
