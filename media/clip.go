package media

import (
	"context"
	"embed"
	"fmt"
	"image/color"

	"github.com/peephole-cam/peephole/clock"
)

//go:embed clips/*.h264
var clipFiles embed.FS

// Clip is an H.264 byte stream embedded in the program: 640x360, 15 frames per second, an IDR picture every second, no
// B-frames, 3 s that loop seamlessly. It shows its number on a background of its own colour, a frame counter, and a bar
// that crosses the lower edge, so that people and tests alike can see whose picture it is and that it moves.
type Clip struct {
	Number     int
	Name       string // "clip3"
	Profile    string // "Constrained Baseline" for even numbers, "High" for odd ones
	Background color.RGBA
	FrameRate  int // frames per second
	units      [][]byte
}

// clipBackgrounds are the colours in clips/generate.sh.
var clipBackgrounds = [...]color.RGBA{
	{0xc8, 0x28, 0x28, 0xff}, {0x28, 0x8c, 0x3c, 0xff}, {0x28, 0x46, 0xbe, 0xff}, {0xc8, 0xa0, 0x1e, 0xff},
	{0x82, 0x32, 0xa0, 0xff}, {0x14, 0x96, 0xa0, 0xff}, {0x5a, 0x5a, 0x5a, 0xff}, {0xd2, 0x5a, 0x96, 0xff},
}

// Clips returns the embedded clips, by number.
func Clips() ([]Clip, error) {
	clips := make([]Clip, len(clipBackgrounds))
	for n := range clips {
		name := fmt.Sprintf("clip%d", n)
		stream, err := clipFiles.ReadFile("clips/" + name + ".h264")
		if err != nil {
			return nil, fmt.Errorf("read clip: %w", err)
		}
		units, err := Split(stream)
		if err != nil {
			return nil, fmt.Errorf("split %s: %w", name, err)
		}

		profile := "Constrained Baseline"
		if n%2 == 1 {
			profile = "High"
		}
		clips[n] = Clip{n, name, profile, clipBackgrounds[n], 15, units}
	}

	return clips, nil
}

// Len returns the number of access units of the clip.
func (c Clip) Len() int { return len(c.units) }

// Source plays the clip in real time, again and again. Every access unit carries mark as an SEI message (see [Marks]),
// unless mark is empty.
func (c Clip) Source(mark string) Source {
	s := clipSource{name: c.Name, rate: c.FrameRate}
	for _, unit := range c.units {
		if mark != "" {
			unit = InsertSEI(unit, MarkSEI(mark))
		}
		s.units = append(s.units, parseUnit(unit))
	}
	return s
}

// Still returns the clip's first keyframe, with mark in it like Source's access units.
func (c Clip) Still(mark string) []byte { return InsertSEI(c.units[0], MarkSEI(mark)) }

type clipSource struct {
	name  string
	rate  int // frames per second
	units []parsedUnit
}

func (s clipSource) Run(ctx context.Context, sink func(AccessUnit)) error {
	pace := newPace(float64(s.rate))
	defer pace.stop()
	for n := 0; ; n++ {
		pts, err := pace.next(ctx)
		if err != nil {
			return fmt.Errorf("play %s: %w", s.name, err)
		}
		unit := s.units[n%len(s.units)]
		sink(AccessUnit{
			Data:     unit.data,
			Keyframe: unit.isIDR(),
			PTS:      pts,
			Captured: clock.Now(),
			parsed:   unit,
		})
	}
}
