package media

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOldFFmpegIsNamedWhenItFails(t *testing.T) {
	rows := []struct{ version, want string }{
		{"ffmpeg version 4.3.9-0+deb11u1 Copyright (c) 2000-2024",
			"ffmpeg 4.3 is too old: install version 5.0 or newer"},
		{"ffmpeg version n4.4.1", "ffmpeg 4.4 is too old"},
		{"ffmpeg version 5.1.9-0+deb12u1", "the input is not a video that ffmpeg reads"},
		{"ffmpeg version 7.1.1", "the input is not a video that ffmpeg reads"},
		{"ffmpeg version N-117000-gabcdef", "the input is not a video that ffmpeg reads"},
		{"something else", "the input is not a video that ffmpeg reads"},
	}

	for _, row := range rows {
		t.Run(row.version, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "ffmpeg")
			script := "#!/bin/sh\nif [ \"$1\" = -version ]; then echo '" + row.version + "'; exit; fi\n" +
				"echo 'Invalid data found when processing input' >&2\nexit 1\n"
			if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}

			feed := runFeed(t, "test", Opener{FFmpeg: program}, FeedOptions{})
			s := feed.await(t, "dead", func(s State) bool { return s.Restarts == 1 })
			if !strings.Contains(s.String(), row.want) {
				t.Errorf("got %q, want %q", s, row.want)
			}
		})
	}
}

// ffmpeg 6.1 and newer write H.265 into FLV as Enhanced RTMP does. Some builds of older versions use an unofficial
// CodecID.
func TestH265InAnyFLV(t *testing.T) {
	header := "FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00\x09\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00"
	for name, row := range map[string]struct{ tag, want string }{
		"enhanced":      {"\x90hvc1\x01\x00\x00\x00", errH265.Error()},
		"enhanced, hev": {"\x93hev1\x01\x00\x00\x00", errH265.Error()},
		"made up":       {"\x1c\x00\x00\x00\x00\x01\x00\x00\x00", errH265.Error()},
		"AV1":           {"\x90av01\x01\x00\x00\x00", `codec "av01"`},
		"JPEG":          {"\x11\x00\x00\x00\x00\x01\x00\x00\x00", "codec 1"},
	} {
		flv := flvReader{r: bufio.NewReader(strings.NewReader(header + row.tag))}
		if _, err := flv.next(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}
