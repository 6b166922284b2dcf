package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media"
)

// A number film shows in each picture its number, as 32 squares, black or white: 16 bits, and the same inverted. They
// survive a codec, a screen and a canvas, so anybody who looks at the screen knows which picture it is.
const (
	filmWidth, filmHeight = 320, 192
	filmPictures          = 3000
	filmPace              = 15 // pictures a second
	filmGroup             = 5  // pictures from keyframe to keyframe
)

// filmUnits are the film's access units, made once per test process.
var filmUnits = sync.OnceValues(func() ([][]byte, error) {
	var raw, complaint bytes.Buffer
	for n := range filmPictures {
		raw.Write(drawNumber(uint16(n)))
	}
	cmd := exec.Command("ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s",
		fmt.Sprintf("%dx%d", filmWidth, filmHeight),
		"-r", fmt.Sprint(filmPace), "-i", "pipe:0", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
		"-threads", "1",
		"-profile:v", "baseline", "-pix_fmt", "yuv420p", "-g", fmt.Sprint(filmGroup), "-sc_threshold", "0", "-bf", "0",
		"-f", "h264", "pipe:1")

	cmd.Stdin, cmd.Stderr = &raw, &complaint
	stream, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("make film: %w: %s", err, complaint.Bytes())
	}
	units, err := media.Split(stream)
	if err == nil && len(units) != filmPictures {
		err = fmt.Errorf("make film: %d pictures", len(units))
	}

	return units, err
})

// drawNumber draws a picture of a number.
func drawNumber(n uint16) []byte {
	const side = filmWidth / 8
	picture := make([]byte, filmWidth*filmHeight)
	bits := uint32(n)<<16 | uint32(^n)
	for y := range filmHeight {
		for x := range filmWidth {
			square := y/(filmHeight/4)*8 + x/side
			picture[y*filmWidth+x] = 16 + 219*byte(bits>>(31-square)&1)
		}
	}

	return picture
}

// numberFilm is a Source that plays the film once, and for each picture knows a time before which all its copies were
// sealed. It moves to the next group of pictures only when an observer has seen as many frames leave the camera as the
// group has.
type numberFilm struct {
	units [][]byte
	left  func() int // how many frames have left the camera

	mu    sync.Mutex
	began []time.Time // when each group of pictures began; guarded by mu
	// whether some frames of a group had not left at its end, so that the time when they were sealed is unknown;
	// guarded by mu
	astray []bool
}

func newNumberFilm(t *testing.T, left func() int) *numberFilm {
	t.Helper()
	need(t, "ffmpeg")
	units, err := filmUnits()
	if err != nil {
		t.Fatal(err)
	}
	return &numberFilm{units: units, left: left}
}

// Run implements media.Source.
func (f *numberFilm) Run(ctx context.Context, sink func(media.AccessUnit)) error {
	next := time.NewTicker(time.Second / filmPace)
	defer next.Stop()
	begin := time.Now()
	for n, unit := range f.units {
		if n%filmGroup == 0 {
			f.group()
		}
		sink(media.AccessUnit{Data: unit, Keyframe: n%filmGroup == 0, PTS: time.Since(begin), Captured: clock.Now()})
		seen := f.left()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-next.C:
		}
		f.await(ctx, next.C, n, seen)
	}

	<-ctx.Done()
	return context.Cause(ctx)
}

// group records that a group of pictures begins.
func (f *numberFilm) group() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.began, f.astray = append(f.began, time.Now()), append(f.astray, false)
}

// await waits until more frames have left the camera than n, or for a second.
func (f *numberFilm) await(ctx context.Context, tick <-chan time.Time, n, seen int) {
	for range filmPace {
		if f.left() > seen {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	f.astray[n/filmGroup] = true
}

// sealed returns a time before which every copy of a picture was sealed: when the group of pictures after the next
// began, since no picture is sent again once its group has been replaced. The zero time means that it is unknown.
func (f *numberFilm) sealed(number int) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	group := number / filmGroup
	if group+2 >= len(f.began) || f.astray[group] || f.astray[group+1] {
		return time.Time{}
	}
	return f.began[group+2]
}
