package rtsp

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
	"github.com/peephole-cam/peephole/test/noleak"
)

func TestMain(m *testing.M) { noleak.Main(m) }

// clip returns a test stream: 15 pictures of two slices, the first an IDR picture after SPS, PPS and SEI.
func clip(t testing.TB) [][][]byte {
	t.Helper()
	stream, err := os.ReadFile("testdata/slices.h264")
	if err != nil {
		t.Fatal(err)
	}
	return rtsptest.Split("H264", stream)
}

// inTime returns a context that ends with the test, or after longer than any correct run takes.
func inTime(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, errors.New("the test takes too long"))
	t.Cleanup(cancel)
	return ctx
}

var errEnough = errors.New("enough")

// readUnits runs a client until it has passed on the given number of access units with pictures.
func readUnits(t *testing.T, c *Client, count int) (units []Unit) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(inTime(t))
	defer cancel(nil)
	err := c.Run(ctx, func(u Unit) {
		if !hasPicture(u.Data) || len(units) == count {
			return
		}
		if units = append(units, u); len(units) == count {
			cancel(errEnough)
		}
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("after %d access units: %v; %+v", len(units), err, c.Stats())
	}
	return units
}

func hasPicture(unit []byte) bool {
	for _, nal := range bytes.Split(unit, startCode) {
		if len(nal) > 1 && (h264{}).kind(nal).picture {
			return true
		}
	}
	return false
}

func newClient(t *testing.T, c Config) *Client {
	t.Helper()
	client, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// wantUnits compares the units read with those sent, from the first unit, bit for bit.
func wantUnits(t *testing.T, got []Unit, sent [][][]byte) {
	t.Helper()
	for n, u := range got {
		if want := rtsptest.Join(sent[n%len(sent)]); !bytes.Equal(u.Data, want) {
			t.Fatalf("access unit %d has %d bytes, want %d:\n%.60x\n%.60x", n, len(u.Data), len(want), u.Data, want)
		}
		if n > 0 && u.Gap {
			t.Errorf("access unit %d has a gap before it", n)
		}

		if n > 0 && u.PTS < got[n-1].PTS {
			t.Errorf("PTS falls from %v to %v", got[n-1].PTS, u.PTS)
		}
	}
}

func TestEveryAccessUnitArrivesFromTheFirstOn(t *testing.T) {
	units := clip(t)
	big := slices.Clone(units[0])
	big[3] = append(slices.Clone(big[3]), bytes.Repeat([]byte{0x55}, 5<<20)...)
	huge := append([][][]byte{big}, units[1:]...)
	each := func(change func(i int, p *rtsptest.Packet)) func(int, []rtsptest.Packet) []rtsptest.Packet {
		return func(n int, packets []rtsptest.Packet) []rtsptest.Packet {
			for i := range packets {
				change(n, &packets[i])
			}
			return packets
		}
	}

	setsEarly := func(n int, p []rtsptest.Packet) []rtsptest.Packet {
		if len(p) > 2 {
			p[0].Timestamp, p[0].Marker = p[0].Timestamp-900, true
			p[1].Timestamp, p[1].Marker = p[1].Timestamp-450, true
		}
		return p
	}

	rows := []struct {
		name    string
		options rtsptest.Options
		want    [][][]byte
		first   string // the requests, if they matter
	}{
		{"over TCP", rtsptest.Options{}, units, "OPTIONS DESCRIBE SETUP PLAY"},
		{"over UDP alone", rtsptest.Options{NoTCP: true, FPS: 100}, units, "OPTIONS DESCRIBE SETUP SETUP PLAY"},
		{"STAP-A", rtsptest.Options{Pack: rtsptest.Aggregated}, units, ""},
		{"STAP-B", rtsptest.Options{Pack: rtsptest.AggregatedB}, units, ""},
		{"FU-A", rtsptest.Options{MTU: 100}, units, ""},
		{"FU-B", rtsptest.Options{MTU: 100, Pack: rtsptest.FragmentedB}, units, ""},
		{"a keyframe of 5 MB", rtsptest.Options{Units: huge, MTU: 60000}, huge, ""},
		{"a silent track of sound first", rtsptest.Options{Media: "m=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\n"},
			units,
			"OPTIONS DESCRIBE SETUP PLAY"},
		{"no marker", rtsptest.Options{FPS: 30, Mutate: each(func(_ int, p *rtsptest.Packet) {
			p.Marker = false
		})}, units, ""},
		{"a marker on the parameter sets", rtsptest.Options{Mutate: each(func(_ int, p *rtsptest.Packet) {
			p.Marker = p.Marker || p.Payload[0]&0x1f >= 6 && p.Payload[0]&0x1f <= 8
		})}, units, ""},
		{"parameter sets under a time of their own", rtsptest.Options{Mutate: setsEarly}, units, ""},
		{"timestamps that wrap", rtsptest.Options{Mutate: each(func(_ int, p *rtsptest.Packet) {
			p.Timestamp -= 20000
		})}, units, ""},
		{"timestamps that jump", rtsptest.Options{Mutate: each(func(n int, p *rtsptest.Packet) {
			if n > 4 {
				p.Timestamp += 90000 * 3600 * 5
			}
		})}, units, ""},
		{"timestamps that run backwards", rtsptest.Options{Mutate: each(func(n int, p *rtsptest.Packet) {
			p.Timestamp = -p.Timestamp
		})}, units, ""},
		{"timestamps that stand still", rtsptest.Options{Mutate: each(func(_ int, p *rtsptest.Packet) {
			p.Timestamp = 0
		})}, units, ""},
		{"neither timestamps nor markers", rtsptest.Options{FPS: 30, Mutate: each(func(_ int, p *rtsptest.Packet) {
			p.Timestamp, p.Marker = 0, false
		})}, units, ""},
		{"another payload type than announced", rtsptest.Options{Fmtp: "sprop", Codec: "h264"}, units, ""},
		{"LF alone", rtsptest.Options{LineEnd: "\n"}, units, ""},
		{"CR alone", rtsptest.Options{LineEnd: "\r"}, units, ""},
		{"no answer to PLAY", rtsptest.Options{MutePlay: true}, units, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if row.options.Units == nil {
				row.options.Units = units
			}
			camera := rtsptest.New(t, row.options)
			got := readUnits(t, newClient(t, Config{URL: camera.URL("")}), 2*len(units)+3)
			wantUnits(t, got, row.want)

			var methods []string
			for _, r := range camera.Requests() {
				method, _, _ := strings.Cut(r, " ")
				methods = append(methods, method)
			}

			if asked := strings.Join(methods, " "); !strings.HasPrefix(asked, row.first) {
				t.Errorf("asked %s, want %s", asked, row.first)
			}
		})
	}
}

// A camera that sets the marker on every slice is recognized at the second slice of its first picture, which is then in
// pieces. From then on its markers are ignored.
func TestMarkersWithinPicturesAreIgnored(t *testing.T) {
	units := clip(t)
	mark := func(_ int, packets []rtsptest.Packet) []rtsptest.Packet {
		for i := range packets {
			packets[i].Marker = true
		}
		return packets
	}

	camera := rtsptest.New(t, rtsptest.Options{Units: units, Mutate: mark})
	got := readUnits(t, newClient(t, Config{URL: camera.URL("")}), 20)
	stream := append(slices.Clone(got[0].Data), got[1].Data...)
	if !bytes.Equal(stream, rtsptest.Join(units[0])) {
		t.Error("the first picture's bytes are not all there")
	}

	for n, u := range got[2:] {
		if !bytes.Equal(u.Data, rtsptest.Join(units[(n+1)%len(units)])) {
			t.Fatalf("picture %d is in pieces", n+1)
		}
	}
}

func TestParameterSetsOfTheDescriptionComeFirst(t *testing.T) {
	units := clip(t)
	bare := [][][]byte{units[0][3:]}
	sdp := "v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 sprop-parameter-sets=" +
		rtsptest.Options{Units: units}.Sprop() + "\na=control:track1\n"
	camera := rtsptest.New(t, rtsptest.Options{Units: append(bare, units[1:]...), SDP: sdp})
	ctx, cancel := context.WithCancelCause(inTime(t))
	var got []Unit
	err := newClient(t, Config{URL: camera.URL("")}).Run(ctx, func(u Unit) {
		if got = append(got, u); len(got) == 2 {
			cancel(errEnough)
		}
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if want := rtsptest.Join(units[0][:2]); !bytes.Equal(got[0].Data, want) {
		t.Errorf("the first unit is %x, want %x", got[0].Data, want)
	}

	if want := rtsptest.Join(units[0][3:]); !bytes.Equal(got[1].Data, want) {
		t.Errorf("the second unit is %.40x", got[1].Data)
	}
}

func TestH265(t *testing.T) {
	stream, err := os.ReadFile("testdata/picture.h265")
	if err != nil {
		t.Fatal(err)
	}
	units := rtsptest.Split("H265", stream)
	for name, pack := range map[string]rtsptest.Packer{"FU": rtsptest.Fragmented, "AP": rtsptest.Aggregated} {
		t.Run(name, func(t *testing.T) {
			camera := rtsptest.New(t, rtsptest.Options{Codec: "H265", Units: units, Pack: pack})
			ctx, cancel := context.WithCancelCause(inTime(t))
			var got []Unit
			err := newClient(t, Config{URL: camera.URL(""), Codecs: []string{"H264", "H265"}}).Run(ctx, func(u Unit) {
				if got = append(got, u); len(got) == 20 {
					cancel(errEnough)
				}
			})
			if !errors.Is(err, errEnough) {
				t.Fatal(err)
			}
			wantUnits(t, got, units)
		})
	}

	t.Run("not asked for", func(t *testing.T) {
		camera := rtsptest.New(t, rtsptest.Options{Codec: "H265", Units: units})
		err := newClient(t, Config{URL: camera.URL("")}).Run(inTime(t), func(Unit) { t.Error("an access unit") })
		var codec *CodecError
		if !errors.As(err, &codec) || codec.Codec != "H265" {
			t.Errorf("got %v", err)
		}

		if camera.Asked("SETUP") != 0 {
			t.Error("a track was set up that nobody can use")
		}
	})
}
