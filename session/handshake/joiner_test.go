package handshake

import (
	"bytes"
	"slices"
	"testing"

	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

// pattern returns a picture of size bytes. No two of its pieces are the same.
func pattern(size int) []byte {
	unit := make([]byte, size)
	for i := range unit {
		unit[i] = byte(i % 251)
	}
	return unit
}

func TestPiecesAreNoLargerThanABrowserTakes(t *testing.T) {
	const room = 512 // packets, in a browser's buffer before it grows
	for _, size := range []int{1, MaxPiece, MaxPiece + 1, 2 * MaxPiece, media.MaxAccessUnit} {
		var joined []byte
		pieces := cut(pattern(size))
		for i, p := range pieces {
			if p.continued != (i > 0) || p.continues != (i < len(pieces)-1) || len(p.data) == 0 {
				t.Errorf("%d bytes, piece %d of %d: continued %t, continues %t, %d bytes",
					size, i, len(pieces), p.continued, p.continues, len(p.data))
			}
			for _, c := range []media.Carrier{media.H264Carrier, media.VP8Carrier} {
				sealed := make([]byte, frameHeaderSize+len(p.data)+sframe.MaxOverhead)
				if n := len(c.Packetize(true, sealed)); n > room {
					t.Errorf("%d bytes, piece %d, %s: %d packets, want %d at most", size, i, c, n, room)
				}
			}
			joined = append(joined, p.data...)
		}

		if !bytes.Equal(joined, pattern(size)) {
			t.Errorf("the pieces of %d bytes are not the picture", size)
		}
	}
}

func TestJoinerPassesWholePicturesOnly(t *testing.T) {
	s := testSecret(t)
	sender, err := s.frameSender(videoTrack)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(unit media.AccessUnit, p piece) []byte {
		sealed, err := sender.Seal(nil, s.binding(videoTrack), appendPiece(nil, unit, p, Challenge{}))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}

	large := media.AccessUnit{Data: pattern(2*MaxPiece + 1), Keyframe: true}
	small := media.AccessUnit{Data: []byte("small")}
	// large, small, large, a first piece that is not a keyframe, a last piece that claims to be one
	var frames [][]byte
	for _, unit := range []media.AccessUnit{large, small, large} {
		for _, p := range cut(unit.Data) {
			frames = append(frames, seal(unit, p))
		}
	}

	delta, key := media.AccessUnit{}, media.AccessUnit{Keyframe: true}
	frames = append(frames, seal(delta, piece{data: []byte("a"), continues: true}),
		seal(key, piece{data: []byte("b"), continued: true}))
	for _, tt := range []struct {
		name   string
		frames []int
		shown  []uint64 // first and last counter of each picture
	}{
		{"whole", []int{0, 1, 2, 3, 4, 5, 6}, []uint64{0, 2, 3, 3, 4, 6}},
		{"without its beginning", []int{1, 2, 3}, []uint64{3, 3}},
		{"without its middle", []int{0, 2, 3, 4, 5, 6}, []uint64{3, 3, 4, 6}},
		{"without its end", []int{0, 1, 3, 4, 5, 6}, []uint64{3, 3, 4, 6}},
		{"the end of another", []int{0, 1, 6, 7}, nil},
		{"of two kinds", []int{7, 8}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOpened(t, s)
			for _, n := range tt.frames {
				o.add(frames[n])
			}
			var got []uint64
			for _, f := range o.shown {
				got = append(got, f.First, f.CTR)
				if want := large.Data; f.Keyframe && !bytes.Equal(f.AccessUnit, want) {
					t.Errorf("%d bytes are shown, want the %d of the picture", len(f.AccessUnit), len(want))
				}
			}

			if !slices.Equal(got, tt.shown) || len(o.rejected) > 0 {
				t.Errorf("shown %v, rejected %v; want %v", got, o.rejected, tt.shown)
			}
		})
	}
}

// However many pieces the camera sends, the joiner keeps a bounded number of bytes.
func TestJoinerKeepsNoMoreThanAPicture(t *testing.T) {
	var j joiner
	most := 0
	for n := range uint64(40) {
		f := Frame{
			First:      n,
			CTR:        n,
			Keyframe:   true,
			AccessUnit: make([]byte, MaxPiece),
			continued:  n > 0,
			continues:  true,
		}

		if _, ok := j.join(f); ok {
			t.Fatal("a picture without an end is whole")
		}
		if j.begun != nil {
			most = max(most, len(j.begun.AccessUnit))
		}
	}

	if most > media.MaxAccessUnit || j.begun != nil {
		t.Errorf("%d bytes were kept; still keeping a picture: %v", most, j.begun != nil)
	}
}
