package rtsp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	maxLine    = 4 << 10 // bytes
	maxHeaders = 64      // lines
	maxBody    = 64 << 10
	maxReason  = 80       // bytes of a reason phrase to keep
	maxNoise   = 64 << 10 // bytes in a row to skip in search of the next message
)

// header maps lower-case names to values, in the order of their lines.
type header map[string][]string

// get returns the first value; "" if there is none.
func (h header) get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// message is what a server sends: a response, a request, or a frame of interleaved data (RFC 2326, sections 6, 7 and
// 10.12).
type message struct {
	status  int    // of a response; otherwise 0
	reason  string // of a response
	method  string // of a request; otherwise ""
	header  header
	body    []byte // that of a frame is valid until the next message is read
	channel uint8  // of a frame
}

func (m *message) isFrame() bool { return m.status == 0 && m.method == "" }

// messageReader reads a server's messages. Their lines may end with CR LF, LF or CR.
type messageReader struct {
	r       *bufio.Reader
	skipLF  bool // the last line ended with CR, and a following LF belongs to it
	spoke   bool // there has been a message
	noise   int  // bytes so far that belonged to no message
	packets []byte
	plays   func(channel uint8) bool // reports whether the channel was set up
}

func newMessageReader(r io.Reader, plays func(uint8) bool) *messageReader {
	return &messageReader{r: bufio.NewReaderSize(r, 16<<10), plays: plays}
}

// pending reports whether part of the next message has arrived. Empty lines do not count.
func (r *messageReader) pending() bool {
	for r.r.Buffered() > 0 {
		if first, _ := r.r.Peek(1); first[0] != '\r' && first[0] != '\n' {
			return true
		}
		r.discard(1)
	}
	return false
}

// wait blocks until something arrives.
func (r *messageReader) wait() error {
	_, err := r.r.Peek(1)
	return err
}

// next reads the next message. Once the server has shown that it speaks RTSP, it skips bytes that belong to no message.
func (r *messageReader) next() (message, error) {
	for noise := 0; noise <= maxNoise; noise++ {
		first, err := r.r.Peek(1)
		if err != nil {
			return message{}, err
		}

		switch b := first[0]; {
		case b == '\r' || b == '\n':
			r.discard(1)
			continue
		case b == '$':
			if m, ok, err := r.frame(noise > 0); ok || err != nil {
				return m, err
			}
		case b >= 'A' && b <= 'Z':
			if m, ok, err := r.text(); ok || err != nil {
				return m, err
			}
		}

		if !r.spoke {
			return message{}, ErrNotRTSP
		}
		r.discard(1)
		r.noise++
	}
	return message{}, fmt.Errorf("find message: %w", ErrMalformed)
}

func (r *messageReader) discard(n int) {
	r.skipLF = false
	r.r.Discard(n) // cannot fail: the bytes have been peeked at
}

// frame reads interleaved data. ok is false if the bytes only look like a frame: a frame contains an RTP or RTCP packet
// of version 2, and the first one after noise must be on a channel that was set up.
func (r *messageReader) frame(afterNoise bool) (m message, ok bool, err error) {
	head, err := r.r.Peek(5)
	if err != nil {
		return message{}, false, err
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	if size == 0 || head[4]>>6 != 2 || afterNoise && !r.plays(head[1]) {
		return message{}, false, nil
	}

	m.channel = head[1]
	r.discard(4)
	if cap(r.packets) < size {
		r.packets = make([]byte, max(size, 2048))
	}

	m.body = r.packets[:size]
	if _, err := io.ReadFull(r.r, m.body); err != nil {
		return message{}, false, noEOF(err)
	}
	r.spoke = true
	return m, true, nil
}

// methods are the requests that a server may send.
var methods = []string{"OPTIONS", "ANNOUNCE", "REDIRECT", "SET_PARAMETER", "GET_PARAMETER", "TEARDOWN", "PLAY_NOTIFY"}

// text reads a response or a request. ok is false if what follows is neither.
func (r *messageReader) text() (m message, ok bool, err error) {
	if !r.looksLikeText() {
		return message{}, false, nil
	}
	line, err := r.line()
	if err != nil {
		return message{}, false, err
	}

	first, rest, _ := strings.Cut(line, " ")
	if strings.HasPrefix(first, "RTSP/") {
		m.status, m.reason = parseStatus(rest)
		if m.status == 0 {
			return message{}, false, fmt.Errorf("read status line: %w", ErrMalformed)
		}
	} else {
		m.method = first
	}

	if m.header, err = r.headers(); err != nil {
		return message{}, false, err
	}
	if m.body, err = r.body(m.header); err != nil {
		return message{}, false, err
	}
	r.spoke = true

	return m, true, nil
}

// looksLikeText reports whether a status line or a request follows. It waits for more bytes only as long as those that
// have arrived may still become one.
func (r *messageReader) looksLikeText() bool {
	starts := append([]string{"RTSP/"}, methods...)
	for n := 1; ; n++ {
		head, err := r.r.Peek(n)
		if err != nil {
			return false
		}
		alive := false
		for _, s := range starts {
			if n == len(s) && string(head) == s {
				return true
			}
			alive = alive || n < len(s) && string(head) == s[:n]
		}

		if !alive {
			return false
		}
	}
}

// line reads a line and returns it without its end.
func (r *messageReader) line() (string, error) {
	var line []byte
	for {
		b, err := r.r.ReadByte()
		if err != nil {
			return "", noEOF(err)
		}
		switch {
		case b == '\n' && r.skipLF:
			r.skipLF = false
			continue
		case b == '\n', b == '\r':
			r.skipLF = b == '\r'
			return string(line), nil
		case len(line) == maxLine:
			return "", fmt.Errorf("read line: longer than %d bytes: %w", maxLine, ErrMalformed)
		}

		r.skipLF = false
		line = append(line, b)
	}
}

// headers reads header lines up to the empty line. It skips lines that are not headers.
func (r *messageReader) headers() (header, error) {
	h := make(header)
	last := ""
	for range maxHeaders {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		if line == "" {
			return h, nil
		}

		if line[0] == ' ' || line[0] == '\t' { // folded (RFC 2326, section 4.1)
			if v := h[last]; len(v) > 0 && len(v[len(v)-1])+len(line) < maxLine {
				v[len(v)-1] += " " + strings.TrimSpace(line)
			}
			continue
		}

		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		last = strings.ToLower(strings.TrimSpace(name))
		h[last] = append(h[last], strings.TrimSpace(value))
	}

	return nil, fmt.Errorf("read headers: more than %d: %w", maxHeaders, ErrMalformed)
}

func (r *messageReader) body(h header) ([]byte, error) {
	length := h.get("content-length")
	if length == "" {
		return nil, nil
	}
	size, err := strconv.Atoi(length)
	if err != nil || size < 0 || size > maxBody {
		return nil, fmt.Errorf("read body: Content-Length %.20q: %w", length, ErrMalformed)
	}
	if size == 0 {
		return nil, nil
	}

	if r.skipLF {
		r.skipLF = false
		if first, err := r.r.Peek(1); err == nil && first[0] == '\n' {
			r.r.Discard(1)
		}
	}

	body := make([]byte, size)
	if _, err := io.ReadFull(r.r, body); err != nil {
		return nil, noEOF(err)
	}
	return body, nil
}

// parseStatus reads the rest of a status line, after the version. status is 0 if it is invalid.
func parseStatus(s string) (status int, reason string) {
	code, reason, _ := strings.Cut(strings.TrimSpace(s), " ")
	status, err := strconv.Atoi(code)
	if err != nil || status < 100 || status > 999 {
		return 0, ""
	}
	return status, printable(reason)
}

// printable removes everything but printable ASCII from a server's text, and cuts it to maxReason bytes.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), maxReason)])
}

// noEOF turns io.EOF, within a message, into io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// request is a request to the server.
type request struct {
	method string
	url    string   // without credentials
	fields []string // further header lines, without line ends
}

// appendRequest writes a request without a body.
func appendRequest(b []byte, r request, cseq int, fields ...string) []byte {
	b = fmt.Appendf(b, "%s %s RTSP/1.0\r\nCSeq: %d\r\nUser-Agent: Peephole\r\n", r.method, r.url, cseq)
	for _, f := range append(r.fields, fields...) {
		b = append(append(b, f...), "\r\n"...)
	}
	return append(b, "\r\n"...)
}
