package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peephole-cam/peephole/cmd/internal/terminal"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
)

// console is a pseudo-terminal that records what is written to it.
type console struct {
	*terminal.Output
	columns, rows int
	tty           *os.File
	marks         int // how many marks screen wrote

	mu      sync.Mutex
	written []byte // guarded by mu
}

func newConsole(t *testing.T, columns, rows int, locale, kind string) *console {
	t.Helper()
	t.Setenv("LC_ALL", locale)
	t.Setenv("TERM", kind)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}

	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}

	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(columns)})
	}
	if err != nil {
		t.Fatal(err)
	}

	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &console{Output: terminal.New(tty), columns: columns, rows: rows, tty: tty}
	read := make(chan struct{})

	go func() {
		defer close(read)
		for b := make([]byte, 4096); ; {
			n, err := master.Read(b)
			c.mu.Lock()
			c.written = append(c.written, b[:n]...)
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()

	t.Cleanup(func() {
		tty.Close()
		<-read
		master.Close()
	})

	return c
}

// screen returns everything written so far, and the lines that the terminal now shows.
func (c *console) screen(t *testing.T) (written string, shown []string) {
	t.Helper()
	const mark = "\x1b[39m" // nothing else writes it
	fmt.Fprint(c.tty, mark)
	c.marks++
	for deadline := time.Now().Add(time.Minute); strings.Count(written, mark) < c.marks; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the terminal does not receive what was written")
		}
		c.mu.Lock()
		written = string(c.written)
		c.mu.Unlock()
	}

	written = strings.ReplaceAll(written, mark, "")

	lines := [][]rune{nil}
	column := 0
	for text := []rune(written); len(text) > 0; text = text[1:] {
		switch end := slices.IndexFunc(text, func(r rune) bool { return r == 'm' || r == 'K' }); {
		case text[0] == '\x1b' && text[end] == 'K':
			lines[len(lines)-1] = lines[len(lines)-1][:column]
			text = text[end:]
		case text[0] == '\x1b':
			text = text[end:]
		case text[0] == '\r':
			column = 0
		case text[0] == '\n' || column == c.columns:
			lines = append(lines, nil)
			column = 0
			if text[0] != '\n' {
				lines[len(lines)-1] = append(lines[len(lines)-1], text[0])
				column++
			}
		default:
			last := lines[len(lines)-1]
			lines[len(lines)-1] = append(last[:column], append([]rune{text[0]}, last[min(column+1, len(last)):]...)...)
			column++
		}
	}

	for _, line := range lines[max(len(lines)-c.rows, 0):] {
		shown = append(shown, strings.TrimRight(string(line), " "))
	}
	return written, shown
}

// newCode returns a code for a relay.
func newCode(t *testing.T, relay string) pairing.Code {
	t.Helper()
	self, err := identity.Generate()
	if err != nil {
		t.Fatal(err)
	}
	code, err := pairing.NewCode(relay, identity.Camera, self.Bundle(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// seesQR reports whether the whole QR code is on the screen.
func seesQR(t *testing.T, shown []string, code pairing.Code, c *console) bool {
	t.Helper()
	d, err := drawQR(code.URI(), c.HasUTF8(), c.columns-margin, c.rows-1)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.TrimRight(colours.ReplaceAllString(d.lines[1], ""), " ")

	for n, line := range shown {
		if !strings.HasPrefix(line, "  "+first) || n == 0 || n+len(d.lines)-1 > len(shown) {
			continue
		}
		for i, want := range d.lines {
			want = strings.TrimRight(colours.ReplaceAllString(want, ""), " ")
			if !strings.HasPrefix(shown[n-1+i], strings.TrimRight("  "+want, " ")) {
				return false
			}
		}

		return true
	}

	return false
}

// The code stays on the terminal whatever is logged meanwhile. Once the code is gone, the whole log follows.
func TestCodeStaysOnTheTerminal(t *testing.T) {
	for _, relay := range []string{"https://relay.example", "https://a-relay-of-a-long-name.example.org:8443"} {
		for _, name := range []string{"front door", strings.Repeat("\u53f0", 64), strings.Repeat("W", 64)} {
			c := newConsole(t, 80, 24, "C.UTF-8", "xterm")
			b := newBoard(c.Output, c.Output)
			code := newCode(t, relay)
			fmt.Fprintln(b, "level=INFO msg=before")
			if err := b.show(name, code); err != nil {
				t.Fatal(err)
			}

			for n := range 300 {
				fmt.Fprintf(b, "time=2026-11-23T20:39:29.823Z level=WARN msg=relay n=%d err=%q\n", n,
					strings.Repeat("x\u53f0", 100))
			}

			written, shown := c.screen(t)
			if !seesQR(t, shown, code, c) {
				t.Fatalf("the code of %s, %s, is not complete on\n%s", relay, name, strings.Join(shown, "\n"))
			}
			newest := shown[len(shown)-1]
			if !strings.HasPrefix(newest, "level=WARN msg=relay n=299 ") || len([]rune(newest)) != c.columns-1 {
				t.Errorf("the last line is %q", newest)
			}

			all := strings.Join(shown, "\n")
			if name == "front door" && !strings.Contains(all, `"front`) || !strings.Contains(all, code.Words()[0]) {
				t.Errorf("the text beside the code is not complete:\n%s", all)
			}

			b.takeDown(name, "paired\n")
			after, _ := c.screen(t)
			after = after[len(written):]
			if n := len(regexp.MustCompile(`(?m)^time=\S+ level=WARN`).FindAllString(after, -1)); n != 299 ||
				!strings.HasSuffix(after, "\r\npaired\r\n") {
				t.Errorf("%d lines after the code, ending with %q", n, after[max(len(after)-40, 0):])
			}

			fmt.Fprintln(b, "level=INFO msg=after")
			if after, _ := c.screen(t); !strings.HasSuffix(after, "\nlevel=INFO msg=after\r\n") {
				t.Errorf("a line after the code is not written: %q", after[max(len(after)-80, 0):])
			}
		}
	}
}

// Log lines beyond the bound are dropped and counted.
func TestWaitingLinesAreBounded(t *testing.T) {
	c := newConsole(t, 80, 24, "C.UTF-8", "xterm")
	b := newBoard(c.Output, c.Output)
	if err := b.show("door", newCode(t, "https://relay.example")); err != nil {
		t.Fatal(err)
	}
	for n := range maxWaiting + 7 {
		fmt.Fprintf(b, "level=INFO n=%d\n", n)
	}

	written, _ := c.screen(t)
	b.close()
	after, _ := c.screen(t)
	after = after[len(written):]
	if !strings.Contains(after, "7 older log lines were dropped while a code was shown\r\nlevel=INFO n=7\r\n") ||
		strings.Count(after, "level=INFO") != maxWaiting {
		t.Errorf("%d lines, beginning with %q", strings.Count(after, "level=INFO"), after[:100])
	}
}

// A terminal that cannot show the QR code shows the link, and says what would help.
func TestTerminalWithoutRoomShowsTheLink(t *testing.T) {
	for name, row := range map[string]struct {
		columns, rows int
		locale, kind  string
		says          string
	}{
		"low": {80, 18, "C.UTF-8", "xterm",
			"needs a window of 41 columns and 21 lines; this one has 80 and 18. " +
				"Open the link above, or make the window larger and start again."},
		"narrow": {30, 50, "C.UTF-8", "xterm", "needs a window of 41 columns and 21 lines"},
		"Latin-1": {80, 24, "de_DE.ISO-8859-1", "xterm",
			"With UTF-8 it is half the size: set LC_ALL=C.UTF-8"},
		"without colours": {80, 24, "C.UTF-8", "dumb",
			"This terminal has no colours to draw a QR code with. Open the link above."},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsole(t, row.columns, row.rows, row.locale, row.kind)
			code := newCode(t, "https://relay.example")
			b := newBoard(c.Output, c.Output)
			if err := b.show("K\u00fcche", code); err != nil {
				t.Fatal(err)
			}

			fmt.Fprintln(b, "level=WARN msg=\u2026")
			b.close()
			written, _ := c.screen(t)
			prose := strings.Join(strings.Fields(written), " ")
			if !strings.Contains(prose, row.says) || !strings.Contains(written, code.URI()) ||
				strings.Contains(written, "\x1b[30") {
				t.Errorf("it shows\n%s", written)
			}

			if row.locale != "C.UTF-8" && strings.ContainsFunc(written, func(r rune) bool { return r > '~' }) {
				t.Errorf("it is not ASCII:\n%s", written)
			}
		})
	}
}

// A log does not wait for the code if it goes elsewhere, or if the output is not a terminal.
func TestLogElsewhereIsWrittenAtOnce(t *testing.T) {
	code := newCode(t, "https://relay.example")
	c := newConsole(t, 80, 24, "C.UTF-8", "xterm")
	var log, out bytes.Buffer
	b := newBoard(c.Output, &log)
	if err := b.show("door", code); err != nil {
		t.Fatal(err)
	}

	fmt.Fprintln(b, "logged")
	b = newBoard(&out, &log)
	if err := b.show("door", code); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(b, "logged")
	if log.String() != "logged\nlogged\n" || out.String() != linkLines("door", code) {
		t.Errorf("logged %q, printed %q", log.String(), out.String())
	}
}

// A code that no QR code can hold is still shown as a link, and the log says why.
func TestCodeTooLongForAQRCodeIsLogged(t *testing.T) {
	c := newConsole(t, 80, 24, "C.UTF-8", "xterm")
	var log bytes.Buffer
	a := &Agent{Log: slog.New(slog.NewTextHandler(&log, nil)), board: newBoard(c.Output, &log)}
	code := newCode(t, "https://relay.example")
	code.RelayURL += strings.Repeat("x", 4000)
	a.show("door", code)

	written, _ := c.screen(t)
	if !strings.Contains(log.String(), `msg="show code" err="encode QR: `) || !strings.Contains(written, code.URI()) {
		t.Errorf("logged %q, shown %q", log.String(), written)
	}
}
