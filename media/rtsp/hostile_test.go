package rtsp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
	"github.com/peephole-cam/peephole/test/bubble"
)

// repeat is a server that sends the same bytes over and over.
func repeat(first, again string) func(net.Conn) {
	return func(c net.Conn) {
		c.Write([]byte(first))
		for err := error(nil); err == nil; {
			_, err = c.Write([]byte(again))
		}
	}
}

// Run ends by itself within seconds, whatever a server sends, and needs little memory.
func TestRunEndsWithHostileServers(t *testing.T) {
	const ok = "RTSP/1.0 200 OK\r\nCSeq: 1\r\n"
	rows := []struct {
		name  string
		serve func(net.Conn)
		want  error
	}{
		{"a line without end", repeat("RTSP/1.0 200 ", strings.Repeat("x", 4096)), ErrMalformed},
		{"headers without end", repeat(ok, "X: y\r\n"), ErrMalformed},
		{"folded headers without end", repeat(ok+"X: y\r\n", " "+strings.Repeat("z", 1000)+"\r\n"), ErrMalformed},
		{"a body of a gigabyte", repeat(ok+"Content-Length: 1000000000\r\n\r\n", "x"), ErrMalformed},
		{"a body of negative length", repeat(ok+"Content-Length: -1\r\n\r\n", "x"), ErrMalformed},
		{"a status of its own", repeat("RTSP/1.0 OK\r\n", "\r\n"), ErrMalformed},
		{"noise without end", repeat("RTSP/1.0 100 Continue\r\n\r\n", "\x00\x01\x02 noise $"), ErrMalformed},
		{"provisional answers without end", repeat("", "RTSP/1.0 100 Continue\r\nCSeq: 1\r\n\r\n"), ErrMalformed},
		{"packets without end, and no answer",
			repeat("", "$\x00\x00\x0c\x80\x60\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), ErrMalformed},
		{"empty lines without end", repeat("", "\r\n"), ErrMalformed},
		{"one byte a second", func(c net.Conn) {
			for _, b := range []byte(ok + "\r\n") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, ErrTimeout},
		{"nothing", func(c net.Conn) { c.Read(make([]byte, 1000)); time.Sleep(time.Minute) }, ErrTimeout},
		{"a server that does not read", func(c net.Conn) { time.Sleep(time.Minute) }, ErrTimeout},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				client := newClient(t, Config{
					URL:  "rtsp://u:p@camera/live",
					Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil },
				})
				go func() {
					defer theirs.Close()
					go func() {
						for b := make([]byte, 1000); row.name != "who does not read"; {
							if _, err := theirs.Read(b); err != nil {
								return
							}
						}
					}()
					row.serve(theirs)
				}()

				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := watch(t, client, time.Hour)
				runtime.ReadMemStats(&after)
				if !errors.Is(err, row.want) {
					t.Errorf("got %v, want %v", err, row.want)
				}

				if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
					t.Errorf("took %d kB of memory", grown>>10)
				}
				time.Sleep(2 * time.Minute) // until the server has noticed the end
			})
		})
	}
}

func TestRequestsToHostileServersAreBounded(t *testing.T) {
	units := clip(t)
	challenge := func(e *rtsptest.Exchange) {
		e.Status = "401 Unauthorized"
		e.Fields = []string{fmt.Sprintf(`WWW-Authenticate: Digest realm="x", nonce="%d", stale=true`, e.Number)}
	}

	rows := []struct {
		name   string
		answer func(*rtsptest.Exchange)
		want   error
		limit  int // of requests
	}{
		{"challenges without end", func(e *rtsptest.Exchange) {
			challenge(e)
		}, ErrCredentials, maxTries},
		{"challenges to keepalives without end", func(e *rtsptest.Exchange) {
			if e.Method == "GET_PARAMETER" {
				challenge(e)
			}
		}, ErrCredentials, 20},
		{"an endless description", func(e *rtsptest.Exchange) {
			if e.Method == "DESCRIBE" {
				e.Body = "v=0\r\n" + strings.Repeat("a=x\r\n", 12000)
			}
		}, ErrNoVideo, 3},
		{"a header line that smuggles", func(e *rtsptest.Exchange) {
			if e.Method == "DESCRIBE" {
				e.Body = "v=0\rm=video 0 RTP/AVP 96\ra=rtpmap:96 H264/90000\ra=control:x HTTP/1.0\x00\n\n"
				e.Fields = nil
			}
			if strings.Contains(e.URL, "\n") || e.Header.Get("X") != "" {
				t.Error("a request was split in two")
			}
		}, nil, 100},
	}

	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				camera, client := newPipe(t, rtsptest.Options{Units: units, FPS: 15, Answer: row.answer}, Config{})
				_, err := watch(t, client, 3*time.Minute)
				if !errors.Is(err, row.want) || len(camera.Requests()) > row.limit {
					t.Errorf("got %v after %d requests, want %v", err, len(camera.Requests()), row.want)
				}
			})
		})
	}
}

// packetBytes returns an RTP packet.
func packetBytes(number uint16, timestamp, ssrc uint32, marker bool, payload ...byte) []byte {
	b := []byte{2 << 6, 96}
	if marker {
		b[1] |= 0x80
	}
	b = binary.BigEndian.AppendUint16(b, number)
	b = binary.BigEndian.AppendUint32(b, timestamp)
	b = binary.BigEndian.AppendUint32(b, ssrc)

	return append(b, payload...)
}

func TestTooLargeAccessUnitsEndTheStream(t *testing.T) {
	const limit = 1 << 20
	body := bytes.Repeat([]byte{0x55}, 60000)
	rows := []struct {
		name   string
		packet func(n int) []byte
	}{
		{"a fragment without end", func(n int) []byte {
			fu := byte(5)
			if n == 0 {
				fu |= fuStart
			}
			return packetBytes(uint16(n), 0, 1, false, append([]byte{0x7c, fu, 0x88}, body...)...)
		}},
		{"slices without end", func(n int) []byte {
			return packetBytes(uint16(n), 0, 1, false, append([]byte{0x65, byte(0x88 >> min(n, 1))}, body...)...)
		}},
		{"parameter sets without end", func(n int) []byte {
			return packetBytes(uint16(n), uint32(n), 1, true, append([]byte{0x67, 0x42}, body...)...)
		}},
	}
	for _, row := range rows {
		var counters counters
		d := description{codec: "H264", alone: true, clockRate: 90000}
		track := newTrack(d, overTCP, Config{MaxUnit: limit}, func(Unit) { t.Error("a unit") }, &counters)
		for n := range 100 {
			track.receive(row.packet(n), time.Unix(int64(n), 0))
			if cap(track.assembler.data) > 2*limit {
				t.Fatalf("%s: %d bytes are kept", row.name, cap(track.assembler.data))
			}
		}

		if !errors.Is(track.err, ErrTooLarge) {
			t.Errorf("%s: %v", row.name, track.err)
		}
	}
}

func TestPacketsFromStrangersAreIgnored(t *testing.T) {
	units := clip(t)
	camera := rtsptest.New(t, rtsptest.Options{Units: units, NoTCP: true, FPS: 50})
	client := newClient(t, Config{URL: camera.URL("")})
	stranger, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()

	ctx, cancel := context.WithCancelCause(inTime(t))
	var got []Unit
	err = client.Run(ctx, func(u Unit) {
		for port := range camera.Ports() {
			forged := packetBytes(uint16(len(got)), 0, 666, true, 0x65, 0x88)
			stranger.WriteToUDP(forged, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		}
		if got = append(got, u); len(got) == 20 {
			cancel(errEnough)
		}
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	wantUnits(t, got, units)
}
