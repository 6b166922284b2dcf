package media

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media/sandbox"
)

var (
	// ErrNoFFmpeg is returned for an input that needs ffmpeg if the program is not installed.
	ErrNoFFmpeg = errors.New("ffmpeg is not installed: run apt-get install ffmpeg")
	// ErrEnded is returned for a live input that has closed.
	ErrEnded = errors.New("the input has ended")
)

// ffmpegSource reads an input through ffmpeg. PTS and Captured are the time of arrival: clocks in cameras are often
// wrong and sometimes missing.
type ffmpegSource struct {
	program *ffmpeg
	input   input
	once    bool
	args    []string
	stdin   string
}

func openFFmpeg(in input, o Opener) (Source, error) {
	program, err := findFFmpeg(o.FFmpeg, in.needs(), o.Log)
	if err != nil {
		return nil, fmt.Errorf("open input %s: %w", in, err)
	}
	args, stdin := in.ffmpegArgs(o)
	return ffmpegSource{
		program: program,
		input:   in,
		once:    o.Once && in.kind == inputFile,
		args:    args,
		stdin:   stdin,
	}, nil
}

// ports are the default ports of URLs.
var ports = map[string]uint16{"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}

// needs returns what ffmpeg must be able to do to read the input.
func (in input) needs() sandbox.Needs {
	switch in.kind {
	case inputRTSP, inputHTTP:
		return sandbox.Needs{Network: in.network()}
	case inputFile:
		return sandbox.Needs{Read: []string{in.path}}
	case inputDevice:
		return sandbox.Needs{Device: in.path}
	}
	return sandbox.Needs{}
}

// network returns the connections that reading a URL takes.
func (in input) network() sandbox.Network {
	u, err := url.Parse(in.url)
	if err != nil {
		return sandbox.Network{} // impossible: parseURL has parsed it
	}
	n := sandbox.Network{TCP: ports[u.Scheme]}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		n.TCP = uint16(port)
	}

	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		n.Names = true
		n.Local = strings.HasSuffix(strings.ToLower(u.Hostname()), ".local") // multicast DNS, by a local service
	}
	return n
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
	cmd := exec.CommandContext(ctx, s.program.path, s.args...)
	cmd.WaitDelay = 5 * time.Second // for pipes only: the child is killed at once
	cmd.Stdin = strings.NewReader(s.stdin)
	said := &tail{}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}

	process, err := s.program.start(ctx, cmd)
	if err != nil {
		return fmt.Errorf("start ffmpeg: %w", err)
	}

	readErr := deliver(out, sink)
	if !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
		cancel() // the output makes no sense: do not wait for its end
	}
	waitErr := process.Wait()
	switch {
	case parent.Err() != nil:
		return context.Cause(parent)
	case ctx.Err() != nil:
		return readErr
	case waitErr != nil:
		if err := s.program.tooOld(parent); err != nil {
			return err
		}
		return said.err(waitErr)
	case s.once:
		return nil
	}

	if why := said.reason(); why != nil {
		return why
	}
	return ErrEnded
}

// deliver passes ffmpeg's output to sink until it ends.
func deliver(out io.Reader, sink func(AccessUnit)) error {
	var start clock.Moment
	flv := flvReader{r: bufio.NewReaderSize(out, 64<<10)}
	for {
		unit, err := flv.next()
		if err != nil {
			return err
		}

		now := clock.Now()
		if start.IsZero() {
			start = now
		}

		sink(AccessUnit{
			Data:     unit.data,
			Keyframe: unit.isIDR(),
			PTS:      now.Sub(start),
			Captured: now,
			parsed:   unit,
		})
	}
}
