package obs

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// numbered returns a line of a length in bytes, which begins with a number.
func numbered(n, length int) string {
	number := fmt.Sprintf("%08d ", n)
	return number + strings.Repeat("x", length-len(number)-1) + "\n"
}

// A ring holds the newest whole lines, as many as there is room for, whatever their lengths.
func TestRingKeepsTheNewestWholeLines(t *testing.T) {
	for _, length := range []int{10, 64, 97, 4096, 100_000, RingSize - 1, RingSize} {
		var r Ring
		fits := RingSize / length
		for n := range 5*fits + 7 {
			if wrote, err := io.WriteString(&r, numbered(n, length)); wrote != length || err != nil {
				t.Fatalf("lines of %d bytes: wrote %d, %v", length, wrote, err)
			}
			if n%(fits/7+1) != 0 && n < 5*fits {
				continue
			}

			first := max(n+1-fits, 0)
			got := r.Lines()
			if want := (n + 1 - first) * length; len(got) != want {
				t.Fatalf("lines of %d bytes: %d bytes after line %d, want %d", length, len(got), n, want)
			}
			if !bytes.HasPrefix(got, []byte(numbered(first, length))) ||
				!bytes.HasSuffix(got, []byte(numbered(n, length))) {
				t.Fatalf("lines of %d bytes: not lines %d to %d", length, first, n)
			}
		}
	}
}

// A line that fits in no ring pushes nothing out.
func TestRingLeavesOutALineWithoutRoom(t *testing.T) {
	var r Ring
	io.WriteString(&r, "before\n")
	io.WriteString(&r, numbered(1, RingSize+1))
	io.WriteString(&r, "after\n")
	if got := string(r.Lines()); got != "before\nafter\n" {
		t.Errorf("%d bytes: %.40q", len(got), got)
	}
}

func TestRingHoldsNoMoreThanTwiceItsSize(t *testing.T) {
	var r Ring
	for n := range 20_000 {
		io.WriteString(&r, numbered(n, 100))
		if len(r.kept) > 2*RingSize || cap(r.kept) > 3*RingSize {
			t.Fatalf("line %d: %d of %d bytes", n, len(r.kept), cap(r.kept))
		}
	}
}

// What is read once does not change with what is written later.
func TestRingReturnsACopy(t *testing.T) {
	var r Ring
	io.WriteString(&r, "first\n")
	got := r.Lines()
	got[0] = 'F'
	if again := string(r.Lines()); again != "first\n" {
		t.Errorf("%q", again)
	}
}

// A ring beside a log holds the log's own lines: redacted, and whole whoever writes them.
func TestRingHoldsWhatTheLogSays(t *testing.T) {
	var log bytes.Buffer
	var r Ring
	logger := NewLogger(io.MultiWriter(&r, &log), Text, slog.LevelInfo)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 50 {
				logger.Info("pair", "ticket", "CANARY", "link", "https://relay.example/pair#CANARY")
				_ = r.Lines()
			}
		})
	}
	writers.Wait()

	got := string(r.Lines())
	if got != log.String() || strings.Contains(got, "CANARY") || strings.Count(got, "msg=pair ") != 400 {
		t.Errorf("the ring has %d bytes and %d lines, the log %d bytes", len(got), strings.Count(got, "\n"), log.Len())
	}
}
