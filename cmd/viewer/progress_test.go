package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// narrow is a terminal of some columns.
type narrow struct {
	bytes.Buffer
	columns int
}

func (n *narrow) Size() (columns, rows int) { return n.columns, 24 }

func TestBarSaysHowFarATransferIs(t *testing.T) {
	const mb = 1e6
	bubble.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name       string
			done, size int64
			before     int64 // what was there a second ago; -1: nothing is known
			columns    int
			want       string
		}{
			{"log", 0, 40 * mb, -1, 79,
				"log  [----------------------------------------]    0%  0.0 of 40.0 MB"},
			{"log", 10 * mb, 40 * mb, 8 * mb, 79,
				"log  [#######---------------------]   25%  10.0 of 40.0 MB  2.0 MB/s  15 s left"},
			{"log", 10 * mb, 40 * mb, 9.9 * mb, 79,
				"log  [######---------------------]   25%  10.0 of 40.0 MB  100 kB/s  5 min left"},
			{"log", 39_999_999, 40 * mb, 39_999_999, 79,
				"log  [#######################################-]   99%  40.0 of 40.0 MB"},
			{"log", 40 * mb, 40 * mb, 8 * mb, 79,
				"log  [############################]  100%  40.0 of 40.0 MB  32.0 MB/s  0 s left"},
			{"log", 0, 0, -1, 79, "log  [########################################]  100%  0 of 0 bytes"},
			{"log", 300, 900, -1, 60, "log  [#########--------------------]   33%  300 of 900 bytes"},
			{"log", 131_072, 262_144, -1, 60, "log  [################----------------]   50%  131 of 262 kB"},
			{"recordings/2026-02-03/door.mp4", mb, 2 * mb, -1, 79,
				"recordings/2026-02-03...  [###############---------------]   50%  1.0 of 2.0 MB"},
			{"recordings/2026-02-03/door.mp4", mb, 2 * mb, 0, 60,
				"recordings/2026-02-03...  [#####------]   50%  1.0 of 2.0 MB"},
			{"log", mb, 2 * mb, 0, 46, "log  [####----]   50%  1.0 of 2.0 MB  1.0 MB/s"},
			{"log", mb, 2 * mb, 0, 30, "log   50%  1.0 of 2.0 MB"},
			{"log", mb, 2 * mb, 0, 19, " 50%  1.0 of 2.0 MB"},
			{"log", mb, 2 * mb, 0, 10, "log   50%"},
			{"log", mb, 2 * mb, 0, 4, " 50%"},
			{"log", mb, 2 * mb, 0, 3, ""},
			{"log", mb, 2 * mb, 0, -1, ""},
		} {
			p := &progress{name: tt.name, stderr: io.Discard}
			if tt.before >= 0 {
				p.report(tt.before, tt.size)
				time.Sleep(time.Second)
			}
			p.report(tt.done, tt.size)
			if got := p.line(tt.columns); got != tt.want {
				t.Errorf("%d of %d bytes in %d columns:\n%q, want\n%q", tt.done, tt.size, tt.columns, got, tt.want)
			}
		}
	})
}

// Whatever there is to say, it stays in its line.
func TestBarFitsEveryTerminal(t *testing.T) {
	for columns := range 200 {
		for _, done := range []int64{0, 1, 999_999, 3e9, 4 << 30} {
			p := &progress{
				name:    "a-name-of-thirty-two-characters.",
				done:    done,
				size:    4 << 30,
				samples: []sample{{time.Unix(0, 0), 0}, {time.Unix(3, 0), done}},
			}
			if got := p.line(columns); len(got) > columns || strings.Trim(got, "\n\r\x1b") != got {
				t.Errorf("%d columns: %q has %d", columns, got, len(got))
			}
		}
	}
}

// A bar is drawn at most five times a second, and cleared before anything else is written.
func TestBarIsClearedBeforeOtherText(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		terminal := &narrow{columns: 12}
		p := &progress{name: "log", stderr: terminal, screen: terminal}
		for n := range int64(100) {
			p.report(n*10e3, 1e6)
			time.Sleep(10 * time.Millisecond)
		}

		fmt.Fprint(p, "the log says\n")
		p.report(1e6, 1e6)
		p.stop()
		p.stop()
		const want = "\rlog    0%\x1b[K" + "\rlog   20%\x1b[K" + "\rlog   40%\x1b[K" + "\rlog   60%\x1b[K" +
			"\rlog   80%\x1b[K" + "\r\x1b[Kthe log says\n" + "\rlog  100%\x1b[K" + "\r\x1b[K"
		if got := terminal.String(); got != want {
			t.Errorf("drawn:\n%q, want\n%q", got, want)
		}
	})
}

// The rate is that of the last ten seconds, and begins anew after a pause and with another file.
func TestRateIsThatOfTheLastSeconds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &progress{name: "log", stderr: io.Discard}
		says := func(want string) {
			t.Helper()
			if got := p.line(79); strings.Contains(got, "/s") != (want != "") || !strings.Contains(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}

		p.report(50e6, 100e6) // at once: that is what was there before
		for n := range int64(20) {
			time.Sleep(time.Second)
			p.report(50e6+n*2e6, 100e6)
		}
		says("2.0 MB/s  6 s left")
		p.pause()
		says("")
		time.Sleep(time.Minute)
		p.report(90e6, 100e6)
		says("")
		time.Sleep(time.Second)
		p.report(91e6, 100e6)
		says("1.0 MB/s  9 s left")
		p.report(1e6, 70e6) // it has changed
		says("")
	})
}

// Where there is no terminal, one line says that the transfer has begun.
func TestNoBarWithoutATerminal(t *testing.T) {
	var said bytes.Buffer
	p := &progress{name: "log", stderr: &said}
	p.report(262_144, 12_345_678)
	p.report(524_288, 12_345_678)
	fmt.Fprintln(p, "the log says")
	p.report(12_345_678, 12_345_678)
	p.stop()
	if got, want := said.String(), "getting log (12.3 MB)\nthe log says\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestTimeLeftIsShort(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0 s left", 0.2: "1 s left", 59.5: "60 s left", 60: "60 s left", 61: "2 min left", 3540: "59 min left",
		3541: "1 h 0 min left", 7500: "2 h 5 min left", 100 * 3600: "days left", 1e18: "days left",
	} {
		if got := formatLeft(seconds); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}

func TestSizesAreShort(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 999: "999 bytes", 1000: "1 kB", 262_144: "262 kB", 1e6: "1.0 MB", 4 << 30: "4295.0 MB",
	} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
