package media

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ffmpegArgs returns ffmpeg's arguments and standard input. A URL goes through standard input, as a playlist of one
// entry, because every user of the machine can read arguments. Each input may only name the protocols that it comes by.
func (in input) ffmpegArgs(o Opener) (args []string, stdin string) {
	args, stdin = in.ffmpegInput(o.Once)
	encode := o.Transcode || in.kind == inputDevice || in.kind == inputTest
	return slices.Concat(
		[]string{"-hide_banner", "-loglevel", "warning"},
		args,
		[]string{"-map", "0:v:0"},
		in.ffmpegCodec(encode),
		[]string{"-f", "flv", "-flvflags", "no_duration_filesize+no_sequence_end", "-flush_packets", "1", "pipe:1"},
	), stdin
}

// ffmpegInput returns the arguments that name the input, and the standard input.
func (in input) ffmpegInput(once bool) (args []string, stdin string) {
	live := []string{"-fflags", "nobuffer", "-use_wallclock_as_timestamps", "1"}
	playlist := []string{"-f", "concat", "-safe", "0", "-i", "pipe:0"}
	switch in.kind {
	case inputRTSP:
		stdin = "ffconcat version 1.0\nfile '" + in.url + "'\noption rtsp_transport tcp\n"
		return slices.Concat(live, []string{"-fpsprobesize", "0"}, only("pipe,rtsp,rtp,tcp,tls"), playlist), stdin
	case inputHTTP:
		stdin = "ffconcat version 1.0\nfile '" + in.url + "'\n"
		if strings.HasPrefix(in.url, "https:") {
			stdin += "option tls_verify 1\n"
		}
		return slices.Concat(live, only("pipe,http,https,tcp,tls"), playlist), stdin
	case inputFile:
		if !once {
			args = []string{"-stream_loop", "-1"}
		}
		return slices.Concat(args, only("file"), []string{"-re", "-fflags", "+genpts", "-i", "file:" + in.path}), ""
	case inputDevice:
		return append(only(""), "-f", "v4l2", "-i", in.path), ""
	}

	pattern := fmt.Sprintf("testsrc2=size=%dx%d:rate=%d", in.width, in.height, in.rate)
	return append(only(""), "-re", "-f", "lavfi", "-i", pattern), ""
}

// only returns the arguments that restrict an input to some protocols.
func only(protocols string) []string { return []string{"-protocol_whitelist", protocols} }

// ffmpegCodec returns the arguments that encode the video, or copy it.
func (in input) ffmpegCodec(encode bool) []string {
	if !encode {
		return []string{"-c:v", "copy"}
	}
	return []string{
		"-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "baseline", "-bf", "0",
		"-pix_fmt", "yuv420p", "-g", strconv.Itoa(max(30, 2*in.rate)), "-force_key_frames", "expr:gte(t,n_forced*2)",
	}
}
