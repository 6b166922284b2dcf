package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/redact"
)

// defaultRate is the frame rate, in frames per second, of byte streams that do not give one. ffmpeg uses the same.
const defaultRate = 25

// fileSource plays an Annex B byte stream from a file, at its frame rate. Its access units are the file's own bytes.
type fileSource struct {
	path string
	once bool
}

func (s fileSource) Run(ctx context.Context, sink func(AccessUnit)) error {
	var pace *pace
	for {
		err := s.play(ctx, &pace, sink)
		if err != nil {
			return fmt.Errorf("play %s: %w", redact.Text(s.path), err)
		}
		if s.once {
			return nil
		}
	}
}

// play plays the file once. If *p is nil, it creates the pace with the frame rate of the first SPS.
func (s fileSource) play(ctx context.Context, p **pace, sink func(AccessUnit)) error {
	f, err := os.Open(s.path)
	if err != nil {
		var why *os.PathError
		if errors.As(err, &why) {
			return why.Err
		}
		return err
	}
	defer f.Close()

	splitter := newSplitter(f)
	var inspector Inspector
	for played := false; ; {
		unit, err := splitter.next()
		if err == io.EOF && !played {
			return errors.New("the file holds no picture")
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}

		picture, key, _ := inspector.inspect(unit) // the Feed refuses B-frames
		if !picture {
			continue
		}
		if *p == nil {
			*p = newPace(frameRate(inspector.SPS()))
		}

		pts, err := (*p).next(ctx)
		if err != nil {
			return err
		}
		played = true
		sink(AccessUnit{
			Data:     unit.data,
			Keyframe: key,
			PTS:      pts,
			Captured: clock.Now(),
			parsed:   unit,
		})
	}
}

func frameRate(sps *SPS) float64 {
	if sps == nil || sps.FrameRate < 1 || sps.FrameRate > 240 {
		return defaultRate
	}
	return sps.FrameRate
}
