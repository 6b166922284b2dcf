package webtransport

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
)

// headerSize is the size of a message's length.
const headerSize = 4

// messages reads messages from a stream of bytes. One goroutine uses it; another may change the limit.
type messages struct {
	from  io.Reader
	limit atomic.Int64
	left  int64 // bytes of the message under way that were not read
}

// next skips what is left of the message under way, and returns the length of the next one, which Read then reads. It
// returns ErrTooLong for a message that exceeds the limit, io.EOF at the end, and io.ErrUnexpectedEOF within a length.
func (m *messages) next() (length int64, err error) {
	if _, err := io.Copy(io.Discard, m); err != nil {
		return 0, err
	}

	var header [headerSize]byte
	if _, err := io.ReadFull(m.from, header[:]); err != nil {
		return 0, err
	}
	length = int64(binary.BigEndian.Uint32(header[:]))
	if length > m.limit.Load() {
		return 0, ErrTooLong
	}
	m.left = length
	return length, nil
}

// Read returns io.EOF at the end of the message. If the stream ends before that, the error is another one.
func (m *messages) Read(p []byte) (int, error) {
	if m.left == 0 {
		return 0, io.EOF
	}
	n, err := m.from.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	if err == nil || m.left == 0 {
		return n, nil
	}
	return n, fmt.Errorf("read message: %w", err)
}
