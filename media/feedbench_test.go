package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/peephole-cam/peephole/clock"
)

var errEnough = errors.New("enough access units were read")

// feedUnits returns the access units of a camera that sends 1080p at about 8 Mbit/s: IDR pictures of 160 KB and P
// pictures of 30 KB, in four slices each. The headers come from a real encoder.
func feedUnits(b *testing.B) [][]byte {
	units, err := Split(readStream(b, "high-slices"))
	if err != nil {
		b.Fatal(err)
	}

	random := rand.New(rand.NewPCG(1, 2))
	for n, unit := range units {
		size := 30_000
		if parseUnit(unit).isIDR() {
			size = 160_000
		}
		units[n] = grow(unit, size/4, random)
	}
	return units
}

// grow returns an access unit with size more bytes in each slice.
func grow(unit []byte, size int, random *rand.Rand) []byte {
	var grown []byte
	for _, nal := range nalUnits(unit) {
		grown = append(append(grown, startCode...), nal...)
		if !isVCL(nalType(nal)) {
			continue
		}
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(random.Uint32())
		}
		grown = escape(append(grown, 0xff), body)
	}
	return grown
}

// flvOf returns access units as FLV, as ffmpeg writes it to a pipe.
func flvOf(units [][]byte) []byte {
	stream := append([]byte("FLV"), make([]byte, 6)...)
	tag := func(kind byte, body []byte) {
		stream = append(stream, 0, 0, 0, 0) // PreviousTagSize
		stream = binary.BigEndian.AppendUint32(stream, flvVideo<<24|uint32(len(body)+5))
		stream = append(append(stream, make([]byte, 7)...), flvAVC, kind, 0, 0, 0)
		stream = append(stream, body...)
	}

	tag(flvSequence, []byte{1, 100, 0, 40, 3, 0, 0}) // lengths of four bytes
	for _, unit := range units {
		var body []byte
		for _, nal := range nalUnits(unit) {
			body = append(binary.BigEndian.AppendUint32(body, uint32(len(nal))), nal...)
		}
		tag(flvNALUs, body)
	}
	return stream
}

// BenchmarkFeed measures the cost of one access unit from its source to the Feed's subscribers.
func BenchmarkFeed(b *testing.B) {
	units := feedUnits(b)
	size := 0
	for _, unit := range units {
		size += len(unit)
	}

	for _, row := range []struct {
		name   string
		source func(n int) Source
	}{
		{"rtsp", func(n int) Source { return benchRTSP{units, n} }},
		{"ffmpeg", func(n int) Source { return benchFFmpeg{flvOf(units), n, len(units)} }},
		{"file", func(n int) Source { return newBenchFile(b, units, n) }},
		{"clip", func(n int) Source { return newBenchClip(units, n) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.SetBytes(int64(size / len(units)))
			b.ReportAllocs()
			feed := NewFeed(row.source(b.N), FeedOptions{})
			b.ResetTimer()
			if err := newReading(feed, 0).run(b.Context()); err != nil && !errors.Is(err, errEnough) {
				b.Fatal(err)
			}
		})
	}
}

// benchRTSP passes on n access units as an RTSP camera's source does.
type benchRTSP struct {
	units [][]byte
	n     int
}

func (s benchRTSP) Run(_ context.Context, sink func(AccessUnit)) error {
	for n := range s.n {
		sink(AccessUnit{Data: s.units[n%len(s.units)], Captured: clock.Now()})
	}
	return nil
}

// benchFFmpeg reads n access units by reading one stream again and again.
type benchFFmpeg struct {
	stream []byte
	n, of  int
}

func (s benchFFmpeg) Run(_ context.Context, sink func(AccessUnit)) error {
	for n := 0; n < s.n; n += s.of {
		_ = deliver(bytes.NewReader(s.stream), sink) // io.EOF
	}
	return nil
}

// benchUntil ends an endless source after n access units.
type benchUntil struct {
	Source
	n int
}

func (s benchUntil) Run(ctx context.Context, sink func(AccessUnit)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	n := 0
	return s.Source.Run(ctx, func(unit AccessUnit) {
		sink(unit)
		if n++; n >= s.n {
			cancel(errEnough)
		}
	})
}

// fast is a frame rate at which a source never waits.
const fast = 1_000_000_000_000

type benchFile struct{ fileSource }

func (s benchFile) Run(ctx context.Context, sink func(AccessUnit)) error {
	pace := newPace(fast)
	for {
		if err := s.play(ctx, &pace, sink); err != nil {
			return err
		}
	}
}

func newBenchFile(b *testing.B, units [][]byte, n int) Source {
	path := filepath.Join(b.TempDir(), "bench.h264")
	if err := os.WriteFile(path, bytes.Join(units, nil), 0o600); err != nil {
		b.Fatal(err)
	}
	return benchUntil{benchFile{fileSource{path: path}}, n}
}

func newBenchClip(units [][]byte, n int) Source {
	return benchUntil{Clip{FrameRate: fast, units: units}.Source("a camera's fingerprint"), n}
}
