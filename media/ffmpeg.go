package media

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrNoFFmpeg says that the program ffmpeg is not there.
	ErrNoFFmpeg = errors.New("ffmpeg is not installed: run apt-get install ffmpeg")
	// ErrEnded says that an input which should never end has closed.
	ErrEnded = errors.New("the input has ended")
)

// ffmpegSource reads an input through ffmpeg. PTS and Captured are those of arrival: clocks in cameras
// are often wrong and sometimes missing.
type ffmpegSource struct {
	program string
	input   Input
	once    bool
	args    []string
	stdin   string
}

func openFFmpeg(in Input, o InputOptions) (Source, error) {
	name := o.FFmpeg
	if name == "" {
		name = "ffmpeg"
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("open input %s: %w", in, ErrNoFFmpeg)
	}
	args, stdin := in.ffmpegArgs(o)
	return ffmpegSource{program: program, input: in, once: o.Once && in.kind == inputFile, args: args, stdin: stdin}, nil
}

// ffmpegArgs returns ffmpeg's arguments and standard input. An RTSP URL goes through standard input, as a playlist of one
// entry: arguments are there for every user of the machine to read.
func (in Input) ffmpegArgs(o InputOptions) (args []string, stdin string) {
	args = []string{"-hide_banner", "-loglevel", "warning"}
	encode := o.Transcode
	switch in.kind {
	case inputRTSP:
		stdin = "ffconcat version 1.0\nfile '" + in.url + "'\noption rtsp_transport tcp\n"
		args = append(args, "-fflags", "nobuffer", "-fpsprobesize", "0", "-use_wallclock_as_timestamps", "1", "-f", "concat", "-safe", "0",
			"-protocol_whitelist", "pipe,rtsp,rtp,tcp,udp,tls,crypto", "-i", "pipe:0")
	case inputFile:
		if !o.Once {
			args = append(args, "-stream_loop", "-1")
		}
		args = append(args, "-re", "-fflags", "+genpts", "-i", "file:"+in.path)
	case inputDevice:
		encode = true
		args = append(args, "-f", "v4l2", "-i", in.path)
	case inputTest:
		encode = true
		args = append(args, "-re", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%dx%d:rate=%d", in.width, in.height, in.rate))
	}
	args = append(args, "-map", "0:v:0")
	if encode {
		args = append(args, "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "baseline", "-bf", "0",
			"-pix_fmt", "yuv420p", "-g", strconv.Itoa(max(30, 2*in.rate)), "-force_key_frames", "expr:gte(t,n_forced*2)")
	} else {
		args = append(args, "-c:v", "copy")
	}
	return append(args, "-f", "flv", "-flvflags", "no_duration_filesize+no_sequence_end", "-flush_packets", "1", "pipe:1"), stdin
}

func (s ffmpegSource) Run(ctx context.Context, sink func(AccessUnit)) error {
	if err := s.run(ctx, sink); err != nil {
		return fmt.Errorf("read %s: %w", s.input, err)
	}
	return nil
}

func (s ffmpegSource) run(parent context.Context, sink func(AccessUnit)) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	// The child dies with the thread that started it (see bind), so that thread stays until it is gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, s.program, s.args...)
	bind(cmd)
	cmd.WaitDelay = 5 * time.Second // for pipes only: the child is killed at once
	cmd.Stdin = strings.NewReader(s.stdin)
	said := &tail{}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start ffmpeg: %w", err)
	}
	readErr := deliver(out, sink)
	if !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
		cancel() // the output is not to be understood: do not wait for its end
	}
	waitErr := cmd.Wait()
	switch {
	case parent.Err() != nil:
		return context.Cause(parent)
	case ctx.Err() != nil:
		return readErr
	case waitErr != nil:
		return said.err(waitErr)
	case s.once:
		return nil
	}
	if why := said.reason(); why != "" {
		return errors.New(why)
	}
	return ErrEnded
}

// deliver gives sink what comes out of ffmpeg until that ends.
func deliver(out io.Reader, sink func(AccessUnit)) error {
	var start time.Time
	flv := flvReader{r: bufio.NewReaderSize(out, 64<<10)}
	for {
		unit, err := flv.next()
		if err != nil {
			return err
		}
		now := time.Now()
		if start.IsZero() {
			start = now
		}
		sink(AccessUnit{Data: unit, Keyframe: isKeyframe(unit), PTS: now.Sub(start), Captured: now})
	}
}
