package rtsp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseDescription(t *testing.T) {
	const head = "v=0\r\ns=x\r\n"
	const video = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
	rows := []struct{ name, sdp, want string }{
		{"plain", head + video + "a=control:t1\r\n", "H264 96 t1"},
		{"oddly ended lines", "v=0\n\n\rm=video 0 RTP/AVP 96\r\r\na=rtpmap:96 h264/90000 \na=control:t1\x00",
			"H264 96 t1"},
		{"lines out of order", "v=0\r\na=control:*\r\nc=IN IP4\r\no=-\r\nt=\r\nb=AS:nonsense\r\n" + video, "H264 96 "},
		{"an impossible port", head + "m=video -1/2 RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\n", "H264 96 "},
		{"no a=rtpmap", head + "m=video 0 RTP/AVP 96\r\na=fmtp:96 packetization-mode=1\r\n", "H264 96 "},
		{"two formats", head + "m=video 0 RTP/AVP 97 96\r\na=rtpmap:97 H265/90000\r\na=rtpmap:96 H264/90000\r\n",
			"H264 96 "},
		{"sound and data first",
			head + "m=audio 0 RTP/AVP 0\r\na=control:t0\r\nm=application 0 RTP/AVP 107\r\n" + video +
				"a=control:t2\r\n", "H264 96 t2"},
		{"the second track", head + "m=video 0 RTP/AVP 97\r\na=rtpmap:97 HEVC/90000\r\na=control:t1\r\n" + video +
			"a=control:t2\r\n", "H264 96 t2"},
		{"H.265", head + "m=video 0 RTP/AVP 97\r\na=rtpmap:97 hevc/90000\r\n", "the video track's codec is H265"},
		{"JPEG without a=rtpmap", head + "m=video 0 RTP/AVP 26\r\n", "the video track's codec is JPEG"},
		{"an unknown codec", head + "m=video 0 RTP/AVP 99\r\n", "the video track's codec is UNKNOWN"},
		{"only sound", head + "m=audio 0 RTP/AVP 0\r\n", "no video track"},
		{"nothing", "", "cannot be read"},
		{"a web page", "<html>\r\na=b\r\n</html>", "cannot be read"},
		{"a track without a format", head + "m=video 0\r\n", "no video track"},
		{"media of no known kind", head + "m=metadata 0 RTP/AVP 107\r\nM=X\r\n" + video, "H264 96 "},
		{"a hundred tracks", head + strings.Repeat("m=audio 0 RTP/AVP 0\r\n", 100) + video, "no video track"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d, err := parseDescription([]byte(row.sdp), []string{"H264"})
			got := fmt.Sprint(d.codec, " ", d.payload, " ", d.track)
			if err != nil {
				got = err.Error()
			}

			if err == nil && got != row.want || !strings.Contains(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}

	if _, err := parseDescription([]byte(head+"m=audio 0 RTP/AVP 0\r\n"), []string{"H264"}); !errors.Is(err,
		ErrNoVideo) {
		t.Error(err)
	}
}

func TestParameterSetsOfADescription(t *testing.T) {
	for value, want := range map[string]string{
		"Z0IACg==,aM4=":      "[6742000a 68ce]",
		"Z0IACg,aM4":         "[6742000a 68ce]",
		`"Z0IACg==, aM4="`:   "[6742000a 68ce]",
		"AAAAAWdCAAo=,aM4=":  "[6742000a 68ce]", // with a start code
		"Z0IACg==,":          "[6742000a]",
		"":                   "[]",
		"not base64!,,aM4==": "[68ce]",
	} {
		if got := fmt.Sprintf("%x", parameterSets(value)); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestParseTransport(t *testing.T) {
	rows := []struct {
		field string
		asked transport
		want  transportReply
	}{
		{"RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=1", overTCP, transportReply{transport: overTCP, rtp: 2, rtcp: 3}},
		{"RTP/AVP;unicast;destination=10.0.0.1;interleaved=0-1", overTCP, transportReply{transport: overTCP, rtcp: 1}},
		{"RTP/AVP/TCP;unicast;interleaved=4", overTCP, transportReply{transport: overTCP, rtp: 4, rtcp: 5}},
		{"", overTCP, transportReply{transport: overTCP, rtcp: 1}},
		{"RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001", overTCP,
			transportReply{transport: overUDP, rtcp: 1, ports: [2]int{6000, 6001}}},
		{"RTP/AVP/UDP;unicast;client_port=5000-5001;source=[fe80::1];server_port=6000", overUDP,
			transportReply{transport: overUDP, rtcp: 1, ports: [2]int{6000, 6001}, source: "fe80::1"}},
		{"RTP/AVP;server_port=99999-0;interleaved=300-301", overUDP, transportReply{transport: overUDP, rtcp: 1}},
		{"RTP/AVP/TCP;interleaved=0-1, RTP/AVP;client_port=1-2", overUDP, transportReply{transport: overTCP, rtcp: 1}},
	}
	for _, row := range rows {
		if got := parseTransport(row.field, row.asked); got != row.want {
			t.Errorf("%q: %+v, want %+v", row.field, got, row.want)
		}
	}

	if id, timeout := parseSession("12;x=y; Timeout=30 "); id != "12" || timeout != 30 {
		t.Errorf("session %q, %d s", id, timeout)
	}
}
