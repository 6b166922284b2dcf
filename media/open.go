package media

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"

	"github.com/peephole-cam/peephole/clock"
)

// Open returns a [Source] for the input that name describes, with the defaults of a zero [Opener]:
//
//	rtsp://[user:password@]host[:port]/path   an IP camera, read over TCP or UDP (rtsps: over TLS)
//	http://[user:password@]host[:port]/path   a stream over HTTP (https: over TLS), through ffmpeg
//	/dev/videoN, /dev/v4l/by-id/…             a V4L2 device, encoded by ffmpeg
//	test, test:640x360@15                     ffmpeg's test pattern: even sizes of 32 to 4096 pixels,
//	                                          1 to 120 frames per second
//	anything else                             a file: .h264 and .264 are read as they are,
//	                                          others through ffmpeg
//
// Open contacts no camera and starts nothing: the Source's Run does. What is missing for now, such as a camera that is
// switched off or a device that is unplugged, is therefore no error here. Pass the Source to [NewFeed], which keeps it
// running and reopens it whenever it dies.
//
// Errors: [ErrInput] for a name that is none of these, a [*GuessError] if such a name, or that of a file that is not
// there, was probably meant to be a URL, [ErrNoFFmpeg] if the input needs ffmpeg and it is not installed,
// an error of io/fs such as [io/fs.ErrNotExist] for a file that is not there, and ctx's cause if ctx has ended. No
// error contains a password.
func Open(ctx context.Context, name string) (Source, error) {
	return Opener{}.Open(ctx, name)
}

// Opener holds the options for opening an input. The zero value is ready to use.
type Opener struct {
	// Transcode encodes the video anew, to H.264 Baseline without B-frames, through ffmpeg. Use it for a camera whose
	// stream browsers cannot play (see [ErrBFrames]).
	Transcode bool

	// Once ends a file's Source at the end of the file. Otherwise the file begins again.
	Once bool

	// FFmpeg is the name or the path of the ffmpeg program. If it is empty, Open looks for "ffmpeg" in the PATH.
	FFmpeg string

	// Log receives what a person should know about a connection. If it is nil, nothing is logged.
	Log *slog.Logger

	// Tests replace these.
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	clock *clock.Clock
}

// Open returns a Source for the input that name describes. It is like the function [Open], with o's options.
func (o Opener) Open(ctx context.Context, name string) (Source, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("open input: %w", context.Cause(ctx))
	}
	in, err := parseInput(name)
	if err != nil {
		return nil, err
	}

	if in.kind == inputFile {
		if err := findFile(in); err != nil {
			return nil, err
		}
		if isByteStream(in.path) && !o.Transcode {
			return fileSource{path: in.path, once: o.Once}, nil
		}
	}
	if in.kind == inputRTSP && !o.Transcode {
		return newRTSPSource(in, o)
	}
	return openFFmpeg(in, o)
}

// isByteStream reports whether a file's name says that it holds an Annex B byte stream.
func isByteStream(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	return ext == ".h264" || ext == ".264"
}
