package rtsp

import (
	"errors"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
)

func TestTransportFallsBack(t *testing.T) {
	units := clip(t)
	refuse := func(status string) func(*rtsptest.Exchange) {
		return func(e *rtsptest.Exchange) {
			if e.Method == "SETUP" && strings.Contains(e.Header.Get("Transport"), "/TCP") {
				e.Status = status
			}
		}
	}

	rows := []struct {
		name    string
		options rtsptest.Options
		first   transport
		setups  int
	}{
		{"TCP refused", rtsptest.Options{NoTCP: true}, overTCP, 2},
		{"TCP refused in other words", rtsptest.Options{Answer: refuse("400 Bad Request")}, overTCP, 2},
		{"UDP refused", rtsptest.Options{NoUDP: true}, overUDP, 2},
		{"nothing comes over UDP", rtsptest.Options{MuteUDP: true}, overUDP, 2},
		{"UDP asked for, answered with TCP", rtsptest.Options{Answer: func(e *rtsptest.Exchange) {
			if e.Method == "SETUP" && !strings.Contains(e.Header.Get("Transport"), "/TCP") {
				e.Status = "461 Unsupported Transport"
			}
		}}, overUDP, 2},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			row.options.Units, row.options.FPS = units, 100
			camera := rtsptest.New(t, row.options)
			client := newClient(t, Config{URL: camera.URL("")})
			client.prefer(row.first)
			wantUnits(t, readUnits(t, client, 5), units)
			if n := camera.Asked("SETUP"); n != row.setups {
				t.Errorf("%d SETUP requests, want %d: %q", n, row.setups, camera.Requests())
			}

			before := camera.Asked("SETUP")
			readUnits(t, client, 1)
			if n := camera.Asked("SETUP") - before; n != 1 {
				t.Errorf("the second time took %d SETUP requests: the client forgot what works", n)
			}
		})
	}
}

func TestNeitherTransport(t *testing.T) {
	camera := rtsptest.New(t, rtsptest.Options{Units: clip(t), NoTCP: true, NoUDP: true})
	err := newClient(t, Config{URL: camera.URL("")}).Run(inTime(t), func(Unit) { t.Error("an access unit") })
	if !errors.Is(err, ErrTransport) {
		t.Errorf("got %v", err)
	}
}

func TestControlAttributes(t *testing.T) {
	units := clip(t)
	const video = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:"
	rows := []struct{ name, base, sdp, setup, play string }{
		{"relative", "%URL%/", "a=control:*\r\n" + video + "track1\r\n", "/live/track1", "/live/"},
		{"relative to the request", "-", "a=control:*\r\n" + video + "track1\r\n", "/live/track1", "/live"},
		{"a base that is a path", "/other/", "a=control:*\r\n" + video + "track1\r\n", "/other/track1", "/other/"},
		{"absolute", "%URL%/", "a=control:%URL%/all\r\n" + video + "%URL%/all/track1\r\n", "/live/all/track1",
			"/live/all"},
		{"the session's is absolute", "-", "a=control:%URL%/all/\r\n" + video + "track1\r\n",
			"/live/all/track1", "/live/all/"},
		{"as RFC 3986 says", "%URL%/", "a=control:*\r\n" + video + "/live/track1\r\n", "/live/track1", "/live/"},
		{"with credentials in it", "rtsp://u:p@HOST/live/", video + "track1\r\n", "/live/track1", "/live/"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			options := rtsptest.Options{Units: units, Base: row.base, SDP: "v=0\r\n" + row.sdp}
			options.Answer = func(e *rtsptest.Exchange) {
				_, path, _ := strings.Cut(strings.TrimPrefix(e.URL, "rtsp://"), "/")
				if e.Method == "SETUP" && "/"+path != row.setup {
					e.Status = "404 Stream Not Found"
				}
				for i := range e.Fields {
					e.Fields[i] = strings.ReplaceAll(e.Fields[i], "HOST",
						e.URL[len("rtsp://"):strings.LastIndex(e.URL, "/")])
				}
			}

			camera := rtsptest.New(t, options)
			wantUnits(t, readUnits(t, newClient(t, Config{URL: camera.URL("")}), 3), units)
			root := "rtsp://" + camera.Host()
			requests := strings.Join(camera.Requests(), " ")
			if !strings.Contains(requests, "SETUP "+root+row.setup+" PLAY "+root+row.play) {
				t.Errorf("asked %s", requests)
			}
		})
	}
}
