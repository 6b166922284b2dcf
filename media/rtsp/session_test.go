package rtsp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/tcptest"
)

// newPipe returns a camera and a client that need no network, so that they work in a bubble of testing/synctest.
func newPipe(t *testing.T, o rtsptest.Options, c Config) (*rtsptest.Camera, *Client) {
	t.Helper()
	camera := rtsptest.NewPipe(t, o)
	c.URL = "rtsp://u:p@camera/live"
	c.Dial = func(context.Context, string, string) (net.Conn, error) { return camera.Connect(), nil }
	return camera, newClient(t, c)
}

// watch runs a client for some time. It returns when each unit arrived, counted from the start, and the error if Run
// ended earlier.
func watch(t *testing.T, c *Client, d time.Duration) (at []time.Duration, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, errEnough)
	defer cancel()
	begin := time.Now()
	err = c.Run(ctx, func(Unit) { at = append(at, time.Since(begin)) })
	if errors.Is(err, errEnough) {
		err = nil
	}

	return at, err
}

func TestSessionIsKeptAlive(t *testing.T) {
	rows := []struct {
		name    string
		options rtsptest.Options
		method  string
	}{
		{"by GET_PARAMETER", rtsptest.Options{Timeout: 10}, "GET_PARAMETER"},
		{"in one second", rtsptest.Options{Timeout: 1}, "GET_PARAMETER"},
		{"without answers", rtsptest.Options{Timeout: 10, MuteKeepalive: true}, "GET_PARAMETER"},
		{"by OPTIONS", rtsptest.Options{Timeout: 10, Answer: func(e *rtsptest.Exchange) {
			if e.Method == "GET_PARAMETER" {
				e.Status = "451 Parameter Not Understood"
			}
		}}, "OPTIONS"},
		{"by OPTIONS alone", rtsptest.Options{Timeout: 10, Answer: func(e *rtsptest.Exchange) {
			switch e.Method {
			case "OPTIONS":
				e.Fields = []string{"Public: OPTIONS, DESCRIBE, SETUP, PLAY"}
			case "GET_PARAMETER":
				t.Error("sent a request that the camera does not know")
			}
		}}, "OPTIONS"},
		{"under a nonce that goes stale", rtsptest.Options{
			Timeout: 10, Auth: &rtsptest.Auth{User: "u", Password: "p", Stale: 4},
		}, "GET_PARAMETER"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			units := clip(t)
			bubble.Test(t, func(t *testing.T) {
				row.options.Units, row.options.FPS = units, 5
				camera, client := newPipe(t, row.options, Config{})
				at, err := watch(t, client, 2*time.Minute)
				if err != nil || len(at) < 590 {
					t.Errorf("%d access units in two minutes, %v", len(at), err)
				}

				if camera.Asked(row.method) < 10 || camera.Asked("TEARDOWN") != 1 {
					t.Errorf("asked %q", camera.Requests())
				}
			})
		})
	}
}

func TestReceiverReportsAreSent(t *testing.T) {
	units := clip(t)
	bubble.Test(t, func(t *testing.T) {
		camera, client := newPipe(t, rtsptest.Options{Units: units, FPS: 5}, Config{})
		client.RequestKeyframe()
		if _, err := watch(t, client, 21*time.Second); err != nil {
			t.Fatal(err)
		}
		feedback := camera.Feedback()
		if len(feedback) != 5 {
			t.Fatalf("%d reports in 21 s, want one every 5 s and one that asks for a keyframe", len(feedback))
		}

		if pli := bytes.Contains(feedback[len(feedback)-1], []byte{0x81, 206}); pli {
			t.Error("every report asks for a keyframe")
		}
		if last := feedback[4]; last[1] != 201 || last[0]&0x1f != 1 || last[12] != 0 {
			t.Errorf("the last report is %x", last)
		}
	})
}

// Slow is not dead: each of these cameras gives a sign of life at least every 10 s, and its pictures arrive at once.
func TestSlowCamerasAreAlive(t *testing.T) {
	units := clip(t)
	rows := []struct {
		name    string
		options rtsptest.Options
		first   time.Duration
		pictures,
		gap time.Duration // the longest between two signs of life
	}{
		{"3 a second", rtsptest.Options{FPS: 3}, 0, time.Second / 3, time.Second},
		{"one every 5 s", rtsptest.Options{FPS: 0.2}, 0, 5 * time.Second, 5 * time.Second},
		{"one every 20 s", rtsptest.Options{FPS: 0.05}, 0, 20 * time.Second, 10 * time.Second},
		{"one every 20 s, no marker",
			rtsptest.Options{FPS: 0.05, Mutate: func(_ int, p []rtsptest.Packet) []rtsptest.Packet {
				for i := range p {
					p[i].Marker = false
				}
				return p
			}}, quietFirst, 20 * time.Second, 10 * time.Second},
		{"the first after 25 s", rtsptest.Options{FPS: 15, Delay: 25 * time.Second},
			25 * time.Second, time.Second, 10 * time.Second},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				row.options.Units = units
				var mu sync.Mutex
				last, longest := time.Now(), time.Duration(0)
				_, client := newPipe(t, row.options, Config{OnAlive: func() {
					mu.Lock()
					defer mu.Unlock()
					longest = max(longest, time.Since(last))
					last = time.Now()
				}})

				at, err := watch(t, client, 2*time.Minute)
				if err != nil || len(at) == 0 || at[0] != row.first {
					t.Fatalf("%d access units, %v; the first at %v, want %v", len(at), err, at[:min(len(at), 1)],
						row.first)
				}
				for n := 1; n < len(at); n++ {
					if at[n]-at[n-1] > row.pictures+time.Millisecond {
						t.Fatalf("picture %d came %v after the one before", n, at[n]-at[n-1])
					}
				}

				if longest > row.gap {
					t.Errorf("no sign of life for %v", longest)
				}
			})
		})
	}
}

func TestSilentCameraCountsAsAliveForALimitedTime(t *testing.T) {
	units := clip(t)
	bubble.Test(t, func(t *testing.T) {
		var last atomic.Int64
		alive := func() { last.Store(time.Now().UnixNano()) }
		_, client := newPipe(t, rtsptest.Options{Units: units, FPS: 15, Once: true}, Config{OnAlive: alive})
		begin := time.Now()
		if _, err := watch(t, client, 2*time.Minute); err != nil {
			t.Fatal(err)
		}

		if silent := time.Unix(0, last.Load()).Sub(begin); silent < 20*time.Second || silent > 32*time.Second {
			t.Errorf("a camera that answers but sends no picture counted as alive for %v", silent)
		}
	})
}

func TestOddAnswersAreUnderstood(t *testing.T) {
	units := clip(t)
	frame := func(channel byte, payload string) []byte {
		return append([]byte{'$', channel, 0, byte(len(payload))}, payload...)
	}
	rtp := "\x80\x60\xff\xef\x00\x00\x00\x00\x00\x00\x00\x2a\x09\x10"
	rows := []struct {
		name   string
		answer func(*rtsptest.Exchange)
	}{
		{"data between the answers", func(e *rtsptest.Exchange) {
			e.Before = append(frame(0, rtp), frame(7, rtp)...)
		}},
		{"noise between the answers", func(e *rtsptest.Exchange) {
			if e.Number > 1 {
				e.Before = []byte("\r\n\r\n\x00\x01$\x00Rubbish RTSP OPTION\xff")
			}
		}},
		{"requests between the answers", func(e *rtsptest.Exchange) {
			e.Before = []byte("SET_PARAMETER rtsp://client RTSP/1.0\r\nCSeq: 9\r\nContent-Length: 3\r\n\r\na:b")
		}},
		{"an answer to the request before", func(e *rtsptest.Exchange) {
			if e.Number > 1 {
				e.Before = []byte("RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n")
			}
		}},
		{"a provisional answer", func(e *rtsptest.Exchange) {
			e.Before = []byte("RTSP/1.0 100 Continue\r\nCSeq: 1\r\n\r\n")
		}},
		{"no CSeq", func(e *rtsptest.Exchange) { e.Header.Del("Cseq") }},
		{"always the same CSeq", func(e *rtsptest.Exchange) { e.Header.Set("Cseq", "0") }},
		{"an answer after 8 s", func(e *rtsptest.Exchange) { time.Sleep(8 * time.Second) }},
		{"OPTIONS is not known", func(e *rtsptest.Exchange) {
			if e.Method == "OPTIONS" {
				e.Status = "404 Not Found"
			}
		}},
		{"no session", func(e *rtsptest.Exchange) {
			if e.Method == "SETUP" {
				e.Fields = nil
			}
		}},
		{"no aggregate operation", func(e *rtsptest.Exchange) {
			if e.Method == "PLAY" && !strings.HasSuffix(e.URL, "trackID=0") {
				e.Status = "459 Aggregate Operation Not Allowed"
			}
		}},
	}

	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				_, client := newPipe(t, rtsptest.Options{Units: units, FPS: 15, Answer: row.answer}, Config{})
				at, err := watch(t, client, time.Minute)
				if err != nil || len(at) < 15*20 {
					t.Errorf("%d access units in a minute, %v; %+v", len(at), err, client.Stats())
				}
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	units := clip(t)
	refuse := func(method, status string) rtsptest.Options {
		return rtsptest.Options{Answer: func(e *rtsptest.Exchange) {
			if e.Method == method {
				e.Status = status
			}
		}}
	}

	rows := []struct {
		name    string
		options rtsptest.Options
		want    error
	}{
		{"no such path", refuse("DESCRIBE", "404 Stream not found \x1b[31m"),
			&StatusError{"DESCRIBE", 404, "Stream not found [31m"}},
		{"too many viewers", refuse("SETUP", "453 Not Enough Bandwidth"),
			&StatusError{"SETUP", 453, "Not Enough Bandwidth"}},
		{"too many viewers at PLAY", refuse("PLAY", "503 Service Unavailable"),
			&StatusError{"PLAY", 503, "Service Unavailable"}},
		{"forbidden", refuse("DESCRIBE", "403"), &StatusError{"DESCRIBE", 403, ""}},
		{"no description", rtsptest.Options{SDP: " "}, ErrDescription},
		{"no answer", rtsptest.Options{Answer: func(e *rtsptest.Exchange) {
			e.Silent = e.Method == "DESCRIBE"
		}}, ErrTimeout},
		{"no answer and no packet", rtsptest.Options{
			MutePlay:      true,
			MuteKeepalive: true,
			Delay:         time.Hour,
		}, ErrTimeout},
		{"the session is gone", rtsptest.Options{Answer: func(e *rtsptest.Exchange) {
			if e.Method == "GET_PARAMETER" {
				e.Status = "454 Session Not Found"
			}
		}}, ErrEnded},
		{"the session times out all the same", rtsptest.Options{Timeout: 2, Answer: func(e *rtsptest.Exchange) {
			if e.Method == "GET_PARAMETER" {
				time.Sleep(time.Minute)
			}
		}}, ErrEnded},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				row.options.Units, row.options.FPS = units, 15
				_, client := newPipe(t, row.options, Config{})
				_, err := watch(t, client, 5*time.Minute)
				var status *StatusError
				if errors.As(err, &status) {
					if want, ok := row.want.(*StatusError); !ok || *want != *status {
						t.Errorf("got %v, want %v", status, row.want)
					}
					return
				}

				if !errors.Is(err, row.want) {
					t.Errorf("got %v, want %v", err, row.want)
				}
			})
		})
	}
}

func TestRedirectionsAreFollowedAndEnd(t *testing.T) {
	units := clip(t)
	final := rtsptest.New(t, rtsptest.Options{Units: units, Auth: &rtsptest.Auth{User: "u", Password: "p"}})
	to := func(location string) *rtsptest.Camera {
		return rtsptest.New(t, rtsptest.Options{Units: units, Answer: func(e *rtsptest.Exchange) {
			if e.Method == "DESCRIBE" {
				e.Status, e.Fields, e.Body = "302 Moved", []string{"Location: " + location}, ""
			}
		}})
	}

	elsewhere := to(final.URL(""))
	err := newClient(t, Config{URL: elsewhere.URL("u:p@")}).Run(inTime(t), func(Unit) {})
	if !errors.Is(err, ErrNoCredentials) {
		t.Errorf("another port got the password, or %v", err)
	}

	open := rtsptest.New(t, rtsptest.Options{Units: units})
	wantUnits(t, readUnits(t, newClient(t, Config{URL: to(open.URL("")).URL("")}), 3), units)

	for _, location := range []string{"/live", "http://127.0.0.1/", "rtsp://"} {
		camera := to(location)
		err := newClient(t, Config{URL: camera.URL("")}).Run(inTime(t), func(Unit) { t.Error("an access unit") })
		if !errors.Is(err, ErrRedirects) || camera.Asked("DESCRIBE") > maxRedirects+1 {
			t.Errorf("%s: %v after %d requests", location, err, camera.Asked("DESCRIBE"))
		}
	}
}

func TestConnectionFailures(t *testing.T) {

	for _, banner := range []string{
		"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2p1\r\n", "\x15\x03\x01\x00\x02\x02\x46",
		"220 mail ready\r\n",
	} {
		at := tcptest.Start(t, func(c net.Conn) {
			_, _ = io.WriteString(c, banner)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		})

		err := newClient(t, Config{URL: "rtsp://" + at.String() + "/"}).Run(inTime(t), func(Unit) {})
		if !errors.Is(err, ErrNotRTSP) {
			t.Errorf("%q: %v", banner, err)
		}
	}
}
