package media

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestInspect(t *testing.T) {
	for _, row := range streams {
		t.Run(row.name, func(t *testing.T) {
			units, err := Split(readStream(t, row.name))
			if err != nil {
				t.Fatal(err)
			}
			var inspector Inspector
			for _, unit := range units {
				if _, _, err = inspector.Inspect(unit); err != nil {
					break
				}
			}

			if row.bFrames != errors.Is(err, ErrBFrames) {
				t.Errorf("B-frames: %v", err)
			}
			sps := inspector.SPS()
			if sps == nil || sps.Profile != row.sps.Profile || sps.Width != row.sps.Width ||
				sps.Height != row.sps.Height ||
				sps.FrameRate != 10 {
				t.Errorf("SPS: %+v", sps)
			}

			if inspector.CanReorder() != row.bFrames {
				t.Errorf("CanReorder: %v", inspector.CanReorder())
			}
		})
	}
}

// pictures returns one access unit for each picture order count: an IDR picture, then P pictures.
func pictures(lsb ...uint32) (units [][]byte) {
	for n, v := range lsb {
		var w bitWriter
		w.ue(0) // first_mb_in_slice
		w.ue(5) // slice_type P
		w.ue(0) // pps
		w.u(uint32(n)&15, 4)
		nal := byte(0x41)
		if n == 0 {
			nal = 0x65
			w.ue(0) // idr_pic_id
		}

		w.u(v, 4)
		w.u(1, 1)
		units = append(units, append([]byte{0, 0, 0, 1, nal}, w.data...))
	}
	return units
}

// spsNAL returns a Main profile SPS of 160x96 pixels, with four bits each of frame_num and pic_order_cnt_lsb.
func spsNAL() []byte {
	w := bitWriter{data: []byte{0x67, 77, 0, 30}, n: 32}
	for _, v := range []uint32{0, 0, 0, 0, 4} { // id, frame_num, poc type, poc lsb, references
		w.ue(v)
	}
	w.u(0, 1)
	w.ue(9)
	w.ue(5)
	w.u(0b1_1_0_0_1, 5) // frame_mbs_only, direct_8x8, no cropping, no VUI, stop bit

	return append(append([]byte(nil), startCode...), w.data...)
}

func TestInspectPictureOrder(t *testing.T) {
	rows := []struct {
		name    string
		lsb     []uint32
		reorder bool
	}{
		{"rising", []uint32{0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4}, false},
		{"one step back", []uint32{0, 6, 2, 4, 6, 8}, false},
		{"hierarchical P", []uint32{0, 4, 2, 8, 6}, true},
		{"constant", []uint32{0, 0, 0, 0}, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inspector := &Inspector{}
			if _, _, err := inspector.Inspect(spsNAL()); err != nil || inspector.SPS() == nil {
				t.Fatalf("SPS not read: %v", err)
			}
			var err error
			for _, unit := range pictures(row.lsb...) {
				var picture bool
				if picture, _, err = inspector.Inspect(unit); err != nil || !picture {
					break
				}
			}

			if errors.Is(err, ErrBFrames) != row.reorder {
				t.Errorf("got %v", err)
			}
		})
	}
}

type bitWriter struct {
	data []byte
	n    int
}

func (w *bitWriter) u(v uint32, bits int) {
	for i := bits - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.data = append(w.data, 0)
		}
		w.data[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

func (w *bitWriter) ue(v uint32) {
	size := 0
	for ; (v+1)>>(size+1) > 0; size++ {
	}
	w.u(0, size)
	w.u(v+1, size+1)
}

func TestCompleteParameterSets(t *testing.T) {
	units, err := Split(readStream(t, "high-slices"))
	if err != nil {
		t.Fatal(err)
	}
	var sets parameterSets
	bare := withoutSets(units[10])
	if _, ok := sets.complete(parseUnit(bare), false); ok {
		t.Error("an IDR picture without parameter sets was let through")
	}

	for _, unit := range units {
		if got, ok := sets.complete(parseUnit(unit), false); !ok || !bytes.Equal(got.data, unit) {
			t.Fatal("an access unit that was complete has changed")
		}
	}

	if got, ok := sets.complete(parseUnit(bare), false); !ok || !bytes.Equal(got.data, units[10]) {
		t.Errorf("completed: %x, want %x", got.data[:80], units[10][:80])
	}
	var onlySPS []byte
	for n, nal := range nalUnits(units[10]) {
		if nalType(nal) == nalPPS {
			onlySPS = append(onlySPS, units[10][:n.at]...)
			onlySPS = append(onlySPS, units[10][n.end:]...)
		}
	}

	if got, ok := sets.complete(parseUnit(onlySPS), false); !ok || !bytes.Equal(got.data, units[10]) {
		t.Error("a missing PPS was not put behind the SPS")
	}
}

func withoutSets(unit []byte) (bare []byte) {
	for n, nal := range nalUnits(unit) {
		if t := nalType(nal); t != nalSPS && t != nalPPS {
			bare = append(bare, unit[n.at:n.end]...)
		}
	}
	return bare
}

func TestMarks(t *testing.T) {
	units, err := Split(readStream(t, "main"))
	if err != nil {
		t.Fatal(err)
	}
	for name, identity := range map[string]string{
		"plain": "camera 7", "empty": "", "zeros": "\x00\x00\x00\x00\x01\x00\x00\x03\x00\x00",
		"254": strings.Repeat("x", 254-16), "255": strings.Repeat("y", 255-16), "long": strings.Repeat("\x00", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			sei := MarkSEI(identity)
			if bytes.Contains(sei[4:], []byte{0, 0, 1}) || bytes.Contains(sei[4:], []byte{0, 0, 0}) {
				t.Fatalf("the NAL unit holds a start code: %x", sei)
			}
			unit := InsertSEI(InsertSEI(units[0], sei), MarkSEI("second"))
			if got := Marks(unit); len(got) != 2 || got[0] != identity || got[1] != "second" {
				t.Errorf("marks: %q", got)
			}

			if again, err := Split(append(unit, units[1]...)); err != nil || len(again) != 2 ||
				len(again[0]) != len(unit) {
				t.Errorf("the marked access unit was split: %v", err)
			}
		})
	}

	if got := Marks(units[0]); got != nil { // x264's own SEI of the same type
		t.Errorf("marks without a mark: %q", got)
	}
}

func FuzzParseSPS(f *testing.F) {
	f.Add(spsNAL()[4:])
	for _, row := range streams {
		for _, nal := range nalUnits(readStream(f, row.name)) {
			if nalType(nal) == nalSPS {
				f.Add(nal)
				break
			}
		}
	}

	f.Fuzz(func(t *testing.T, nal []byte) {
		s, err := ParseSPS(nal)
		if err == nil && (s.Width <= 0 || s.Height <= 0 || s.Width > 1<<14 || s.Height > 1<<16 || s.MaxReorder > 16) {
			t.Errorf("out of range: %+v", s)
		}
		if err != nil && !errors.Is(err, ErrSPS) {
			t.Error(err)
		}
	})
}

func FuzzMarks(f *testing.F) {
	f.Add(MarkSEI("a"), "identity")
	f.Add([]byte{0, 0, 1, 6, 5, 255, 255}, "\x00\x00\x03")
	f.Fuzz(func(t *testing.T, unit []byte, identity string) {
		Marks(unit)
		if got := Marks(MarkSEI(identity)); len(got) != 1 || got[0] != identity {
			t.Errorf("got %q, want %q", got, identity)
		}
	})
}
