package media

import (
	"bytes"
	"context"
	"slices"
	"testing"
)

// checkParsed checks that the NAL units passed on with an access unit are the ones in its bytes.
func checkParsed(t *testing.T, unit parsedUnit) {
	t.Helper()
	if unit.nals != nil && !slices.Equal(unit.nals, parseUnit(unit.data).nals) {
		t.Fatalf("%x is passed on with NAL units %v, want %v", unit.data, unit.nals, parseUnit(unit.data).nals)
	}
}

// recorder keeps the access units of a Source.
type recorder struct{ units []AccessUnit }

func (r *recorder) sink(unit AccessUnit) { r.units = append(r.units, unit) }

func TestFilesAndClipsPassOnTheirNALUnits(t *testing.T) {
	var files recorder
	for _, name := range []string{"testdata/high-slices.h264", "testdata/interlaced.h264"} {
		source, err := Opener{Once: true}.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := source.Run(t.Context(), files.sink); err != nil {
			t.Fatal(err)
		}
	}
	clips, err := Clips()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var played recorder
	_ = clips[0].Source("mark").Run(ctx, func(unit AccessUnit) {
		played.sink(unit)
		if len(played.units) == 3 {
			cancel()
		}
	})

	for _, unit := range append(files.units, played.units...) {
		if unit.parsed.nals == nil || !bytes.Equal(unit.parsed.data, unit.Data) {
			t.Fatal("an access unit arrived without its NAL units")
		}
		checkParsed(t, unit.parsed)
	}
}

func TestReplacedDataIsParsedAnew(t *testing.T) {
	idr, delta := []byte{0, 0, 0, 1, 0x65, 0x88, 0x84}, []byte{0, 0, 0, 1, 0x01, 0x9a, 0x80}
	unit := AccessUnit{Data: idr, parsed: parseUnit(idr)}
	if !unit.Reference() {
		t.Error("an IDR picture is not a reference")
	}

	unit.Data = delta
	if unit.Reference() {
		t.Error("the NAL units of the old Data are still used")
	}
	unit.Data = append(idr[:0:0], idr...)
	unit.parsed = parseUnit(unit.Data)
	unit.Data = unit.Data[:0]
	if got := unit.parse(); len(got.nals) != 0 {
		t.Errorf("empty Data has %d NAL units", len(got.nals))
	}
}

// The record of a hostile access unit's NAL units must not outgrow the access unit.
func TestManyNALUnitsAreNotKept(t *testing.T) {
	nal := []byte{0, 0, 1, 0x41}
	for count, kept := range map[int]bool{1024: true, 1025: false} {
		data := append([]byte{0, 0, 1, 0x65, 0x88}, bytes.Repeat(nal, count-1)...)
		unit := parseUnit(data)
		if (unit.nals != nil) != kept {
			t.Errorf("%d NAL units: kept %d", count, len(unit.nals))
		}
		found := 0
		for n, nal := range unit.nalUnits() {
			if !bytes.Equal(nal, data[n.begin:n.end]) {
				t.Fatalf("NAL unit %d is %x", found, nal)
			}
			found++
		}
		if found != count {
			t.Errorf("there are %d NAL units, found %d", count, found)
		}

		split, err := newSplitter(bytes.NewReader(data)).next()
		if err != nil || (split.nals != nil) != kept {
			t.Errorf("the splitter keeps %d of %d NAL units, %v", len(split.nals), count, err)
		}
	}
}
