package media

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
)

// streams are byte streams encoded by x264 for these tests (clips/generate.sh).
var streams = []struct {
	name    string
	sps     SPS
	units   int
	keys    int
	slices  int // per picture
	bFrames bool
}{
	{"main", SPS{Profile: 77, Width: 162, Height: 90}, 20, 2, 1, false},
	{"high-slices", SPS{Profile: 100, Width: 160, Height: 96}, 20, 2, 4, false},
	{"baseline-slices", SPS{Profile: 66, Width: 160, Height: 96}, 20, 2, 3, false},
	{"interlaced", SPS{Profile: 100, Width: 160, Height: 128}, 20, 2, 1, false},
	{"bframes", SPS{Profile: 77, Width: 160, Height: 90}, 20, 1, 1, true},
}

func readStream(t testing.TB, name string) []byte {
	t.Helper()
	stream, err := os.ReadFile(filepath.Join("testdata", name+".h264"))
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestSplit(t *testing.T) {
	for _, row := range streams {
		t.Run(row.name, func(t *testing.T) {
			stream := readStream(t, row.name)
			units, err := Split(stream)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(bytes.Join(units, nil), stream) {
				t.Error("the access units joined together are not the stream")
			}

			keys := 0
			for n, unit := range units {
				slices := 0
				for _, nal := range nalUnits(unit) {
					if isVCL(nalType(nal)) {
						slices++
					}
				}

				if slices != row.slices {
					t.Errorf("access unit %d has %d slices, want %d", n, slices, row.slices)
				}
				if parseUnit(unit).isIDR() {
					keys++
				}
			}

			if len(units) != row.units || keys != row.keys {
				t.Errorf("%d access units with %d keyframes, want %d with %d", len(units), keys, row.units, row.keys)
			}
		})
	}
}

func TestSplitterChunks(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"one byte": iotest.OneByteReader,
		"half":     iotest.HalfReader,
		"late EOF": iotest.DataErrReader,
		"plain":    func(r io.Reader) io.Reader { return r },
	}
	for name, reader := range readers {
		t.Run(name, func(t *testing.T) {
			stream := readStream(t, "high-slices")
			want, err := Split(stream)
			if err != nil {
				t.Fatal(err)
			}
			s := newSplitter(reader(bytes.NewReader(stream)))

			for n := range want {
				unit, err := s.next()
				if err != nil || !bytes.Equal(unit.data, want[n]) {
					t.Fatalf("access unit %d differs: %v", n, err)
				}
			}

			if _, err := s.next(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func TestSplitterRefuses(t *testing.T) {
	torn := errors.New("cable torn")
	rows := []struct {
		name string
		r    io.Reader
		want error
	}{
		{"an MP4 file", bytes.NewReader([]byte("\x00\x00\x00\x18ftypmp42")), ErrNotAnnexB},
		{"garbage before the start code", bytes.NewReader([]byte("x\x00\x00\x00\x01\x67\x42")), ErrNotAnnexB},
		{"endless garbage", endless{}, ErrNotAnnexB},
		{"an endless NAL unit", io.MultiReader(bytes.NewReader([]byte{0, 0, 1, 0x65, 0x88}), endless{}), ErrTooLarge},
		{"a torn input", io.MultiReader(bytes.NewReader([]byte{0, 0, 1, 0x65, 0x88}), iotest.ErrReader(torn)), torn},
		{"nothing", bytes.NewReader(nil), io.EOF},
	}

	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if _, err := newSplitter(row.r).next(); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x55
	}
	return len(p), nil
}

func TestSplitZeroBytes(t *testing.T) {
	// Leading zeros, trailing zeros, and a prefix NAL unit (type 14) before each of a picture's two slices.
	first := []byte{0, 0, 0, 0, 1, 0x6e, 1, 0, 0, 1, 0x65, 0x88, 0x80, 0, 0, 0, 0, 1, 0x6e, 1, 0, 0, 1, 0x65, 0x44,
		0x80}
	second := []byte{0, 0, 0, 1, 0x6e, 1, 0, 0, 1, 0x41, 0x9a, 0x80}
	units, err := Split(append(bytes.Clone(first), second...))
	if err != nil || len(units) != 2 || !bytes.Equal(units[0], first) || !bytes.Equal(units[1], second) {
		t.Errorf("got %x, %v", units, err)
	}
}

func FuzzSplitter(f *testing.F) {
	for _, row := range streams {
		f.Add(readStream(f, row.name)[:3000])
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		units, err := Split(stream)
		if err != nil {
			return
		}
		if !bytes.Equal(bytes.Join(units, nil), stream) {
			t.Fatal("the access units joined together are not the stream")
		}

		s := newSplitter(iotest.HalfReader(bytes.NewReader(stream)))
		var sets parameterSets
		var inspector Inspector
		for n := range units {
			unit, err := s.next()
			if err != nil || !bytes.Equal(unit.data, units[n]) {
				t.Fatalf("access unit %d depends on how it was read: %v", n, err)
			}
			checkParsed(t, unit)
			complete, _ := sets.complete(unit, false)
			checkParsed(t, complete)
			Marks(unit.data)
			if _, _, err := inspector.inspect(unit); err != nil && !errors.Is(err, ErrBFrames) {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkSplitter(b *testing.B) {
	stream := bytes.Repeat(readStream(b, "main"), 50)
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		s := newSplitter(bytes.NewReader(stream))
		for {
			if _, err := s.next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
