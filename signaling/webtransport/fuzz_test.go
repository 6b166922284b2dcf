package webtransport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

// FuzzMessages reads what anybody may send on a stream: no message exceeds the limit, none is made of a part, and all
// of them together, with their lengths, are what arrived.
func FuzzMessages(f *testing.F) {
	f.Fuzz(func(t *testing.T, sent []byte) {
		const limit = 100
		m := messages{from: bytes.NewReader(sent)}
		m.limit.Store(limit)

		for read := 0; ; {
			rest := sent[read:]
			length, err := m.next()
			if err != nil {
				wanted := io.ErrUnexpectedEOF
				switch {
				case len(rest) == 0:
					wanted = io.EOF
				case len(rest) >= headerSize:
					wanted = ErrTooLong
					if n := binary.BigEndian.Uint32(rest); n <= limit {
						t.Fatalf("a message of %d bytes: %v", n, err)
					}
				}
				if !errors.Is(err, wanted) {
					t.Fatalf("%x: %v, want %v", rest, err, wanted)
				}
				return
			}

			if length > limit {
				t.Fatalf("a message of %d bytes", length)
			}
			message, err := io.ReadAll(&m)
			whole := len(rest) >= headerSize+int(length)
			if whole != (err == nil) {
				t.Fatalf("%x was read from %x: %v", message, rest, err)
			}
			if !whole {
				return
			}
			if want := rest[headerSize : headerSize+length]; !bytes.Equal(message, want) {
				t.Fatalf("%x was read, want %x", message, want)
			}
			read += headerSize + int(length)
		}
	})
}
