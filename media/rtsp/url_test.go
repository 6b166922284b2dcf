package rtsp

import (
	"errors"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	rows := []struct{ raw, url, address, host string }{
		{"rtsp://cam", "rtsp://cam", "cam:554", "cam"},
		{"RTSP://u:p@cam:8554/a?b=c#d", "rtsp://cam:8554/a?b=c", "cam:8554", "cam"},
		{"rtsps://cam/it%27s", "rtsps://cam/it%27s", "cam:322", "cam"},
		{"rtsp://[fe80::1%25eth0]:8554/x", "rtsp://[fe80::1]:8554/x", "[fe80::1%eth0]:8554", "fe80::1"},
		{"rtsp://u:p@[2001:db8::1]/x", "rtsp://[2001:db8::1]/x", "[2001:db8::1]:554", "2001:db8::1"},
	}
	for _, row := range rows {
		got, err := parseTarget(row.raw)
		if err != nil || got.url != row.url || got.address != row.address || got.host != row.host {
			t.Errorf("%s: %+v, %v", row.raw, got, err)
		}
	}

	for _, raw := range []string{
		"", "cam", "rtsp://", "http://u:secret@cam/", "rtsp:cam", "rtsp://u:sec%ret@cam/", "rtsp://secret cam/",
		"rtsp://cam/\r\nX: y", "rtsp://u:secret@/x",
	} {
		if got, err := parseTarget(raw); !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %+v, %v", raw, got, err)
		}
	}
}

func TestControlURL(t *testing.T) {
	rows := []struct{ base, control, want string }{
		{"rtsp://cam/live/", "trackID=0", "rtsp://cam/live/trackID=0"},
		{"rtsp://cam/live", "trackID=0", "rtsp://cam/live/trackID=0"},
		{"rtsp://cam/live?user=1", "trackID=0", "rtsp://cam/live?user=1/trackID=0"},
		{"rtsp://cam/live", "/trackID=0", "rtsp://cam/live/trackID=0"},
		{"rtsp://cam/live/", "/trackID=0", "rtsp://cam/live/trackID=0"},
		{"rtsp://cam/live", "?ctype=video", "rtsp://cam/live?ctype=video"},
		{"rtsp://cam/live", "track 1\r\nX: \xff", "rtsp://cam/live/track%201%0D%0AX:%20%FF"},
		{"rtsp://cam/live", "*", "rtsp://cam/live"},
		{"rtsp://cam/live", "", "rtsp://cam/live"},
		{"rtsp://cam/live", "rtsp://192.168.0.9/live/track1", "rtsp://192.168.0.9/live/track1"},
		{"rtsp://cam/live", "RTSP://u:p@cam/track1", "rtsp://cam/track1"},
	}
	for _, row := range rows {
		if got := controlURL(row.base, row.control); got != row.want {
			t.Errorf("%s and %s: %s, want %s", row.base, row.control, got, row.want)
		}
	}
}
