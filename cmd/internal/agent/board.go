package agent

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"sync"
	"unicode"

	"github.com/peephole-cam/peephole/cmd/internal/terminal"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// maxWaiting is how many log lines wait while a code is shown. Beyond that the oldest are dropped and counted.
const maxWaiting = 500

// board is where an agent writes. While a terminal shows a code, log lines for a terminal wait, and the newest one is
// shown in the last line: nothing may scroll the code away.
type board struct {
	out      io.Writer
	log      io.Writer
	terminal *terminal.Output // out, if it is a terminal
	shared   bool             // the log goes to a terminal too

	// mu guards what follows, and every write.
	mu      sync.Mutex
	codes   map[string]bool // the cameras whose code is shown
	waiting [][]byte
	dropped int
	status  bool // the last line shows a log line
}

func newBoard(stdout, stderr io.Writer) *board {
	b := &board{out: stdout, log: stderr, codes: make(map[string]bool)}
	if o, ok := stdout.(*terminal.Output); ok && o.IsTerminal() {
		b.terminal = o
	}
	o, ok := stderr.(*terminal.Output)
	b.shared = ok && o.IsTerminal()
	return b
}

// Write writes a log line, or keeps it while a code is shown.
func (b *board) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.codes) == 0 || b.terminal == nil || !b.shared {
		return b.log.Write(line)
	}
	if b.waiting = append(b.waiting, bytes.Clone(line)); len(b.waiting) > maxWaiting {
		b.waiting = b.waiting[1:]
		b.dropped++
	}

	b.showNewest()
	return len(line), nil
}

// logTime matches the beginning of a log line.
var logTime = regexp.MustCompile(`^time=\S+ `)

// showNewest writes the newest waiting line over the last line of the terminal. mu must be held.
func (b *board) showNewest() {
	if !b.terminal.HasColours() { // it cannot clear a line either
		return
	}
	columns, _ := b.terminal.Size()
	newest := logTime.ReplaceAll(bytes.TrimSpace(b.waiting[len(b.waiting)-1]), nil)
	plain := bytes.Map(func(r rune) rune {
		if r >= 0x1100 || unicode.Is(unicode.M, r) || !unicode.IsPrint(r) { // zero or two columns wide
			return '?'
		}
		return r
	}, newest)

	if !b.terminal.HasUTF8() {
		plain = []byte(terminal.ASCII(string(plain)))
	}
	fmt.Fprintf(b.out, "\r%s\x1b[K", cut(string(plain), columns-1))
	b.status = true
}

// show shows a camera's code: as a poster on a terminal, as two lines to a script.
func (b *board) show(name string, code pairing.Code) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release()
	if b.terminal == nil {
		fmt.Fprint(b.out, linkLines(name, code))
		return nil
	}

	s := screen{utf8: b.terminal.HasUTF8(), colours: b.terminal.HasColours()}
	s.columns, s.rows = b.terminal.Size()
	text, err := poster(name, code, s)
	fmt.Fprint(b.out, text)
	b.codes[name] = true
	return err
}

// takeDown ends the display of a camera's code, and prints text, which may be empty.
func (b *board) takeDown(name, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.codes, name)
	b.release()
	fmt.Fprint(b.out, text)
}

// close ends the display of every code.
func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.codes)
	b.release()
}

// release writes the waiting lines. mu must be held.
func (b *board) release() {
	if b.status {
		fmt.Fprint(b.out, "\r\x1b[K")
		b.status = false
	}
	if b.dropped > 0 {
		fmt.Fprintf(b.log, "%d older log lines were dropped while a code was shown\n", b.dropped)
		b.dropped = 0
	}

	for _, line := range b.waiting {
		_, _ = b.log.Write(line) // as slog does
	}
	b.waiting = nil
}
