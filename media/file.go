package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// defaultRate is for byte streams that name no frame rate, in frames per second: what ffmpeg takes, too.
const defaultRate = 25

// fileSource plays a file that is an Annex B byte stream at its frame rate. Its access units are the file's bytes.
type fileSource struct {
	path string
	once bool
}

func (s fileSource) Run(ctx context.Context, sink func(AccessUnit)) error {
	var pace *pace
	for {
		err := s.play(ctx, &pace, sink)
		if err != nil {
			return fmt.Errorf("play %s: %w", s.path, err)
		}
		if s.once {
			return nil
		}
	}
}

// play plays the file once. It makes the pace, with the first SPS, unless there is one already.
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
	splitter := NewSplitter(f)
	var inspector Inspector
	for played := false; ; {
		unit, err := splitter.Next()
		if err == io.EOF && !played {
			return errors.New("the file holds no picture")
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		picture, key, _ := inspector.Inspect(unit) // whoever plays it judges B-frames
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
		sink(AccessUnit{Data: unit, Keyframe: key, PTS: pts, Captured: time.Now()})
	}
}

func frameRate(sps *SPS) float64 {
	if sps == nil || sps.FrameRate < 1 || sps.FrameRate > 240 {
		return defaultRate
	}
	return sps.FrameRate
}
