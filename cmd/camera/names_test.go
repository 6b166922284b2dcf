package main

import (
	"bufio"
	"errors"
	"strings"
	"testing"
)

// Lines that name an input are read whole and in order, without comments, quotes, or what editors add.
func TestInputFileIsReadAsPeopleWriteIt(t *testing.T) {
	for name, row := range map[string]struct {
		file string
		want []string
	}{
		"a line":       {"rtsp://cam/a\n", []string{"rtsp://cam/a"}},
		"no line feed": {"rtsp://cam/a", []string{"rtsp://cam/a"}},
		"comments": {"# the door\n  # its low stream is below\nrtsp://cam/a\n#rtsp://cam/x\nrtsp://cam/b\n",
			[]string{"rtsp://cam/a", "rtsp://cam/b"}},
		"blank lines":       {"\n \t\n\nrtsp://cam/a\n\n\nrtsp://cam/b", []string{"rtsp://cam/a", "rtsp://cam/b"}},
		"a # in a password": {"rtsp://u:p#w@cam/a\n", []string{"rtsp://u:p#w@cam/a"}},
		"a space":           {" rtsp://u:p w@cam/a \n", []string{"rtsp://u:p w@cam/a"}},
		"Windows": {"\ufeff# the door\r\n\r\nrtsp://cam/a\r\nrtsp://cam/b\r\n",
			[]string{"rtsp://cam/a", "rtsp://cam/b"}},
		"quotes":                 {"\"rtsp://cam/a\"\n'rtsp://cam/b'\n", []string{"rtsp://cam/a", "rtsp://cam/b"}},
		"a quote":                {"\"\nrtsp://u:\"@cam/a", []string{"\"", "rtsp://u:\"@cam/a"}},
		"nothing":                {"", nil},
		"only a byte order mark": {"\ufeff\n# rtsp://cam/a", nil},
		"a line of a MB":         {strings.Repeat("x", 1<<20), nil},
	} {
		t.Run(name, func(t *testing.T) {
			lines := bufio.NewScanner(strings.NewReader(row.file))
			for _, want := range row.want {
				if got, err := nextName(lines); err != nil || got != want {
					t.Errorf("%q, %v; want %q", got, err, want)
				}
			}

			want := errNoName
			if len(row.file) > bufio.MaxScanTokenSize {
				want = bufio.ErrTooLong
			}
			if got, err := nextName(lines); !errors.Is(err, want) {
				t.Errorf("after the last line: %q, %v; want %v", got, err, want)
			}
		})
	}
}
