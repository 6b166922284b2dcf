package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"

	"github.com/peephole-cam/peephole/media/sandbox"
)

// ErrNoPicture is returned for a valid stream that contains no complete picture: it begins with a gradual refresh
// (H.264, D.2.8) and ends before that is finished.
var ErrNoPicture = errors.New("ffmpeg made no picture")

// startOfImage begins a JPEG (ITU-T T.81, B.1.1.3). It does not occur inside the JPEGs that ffmpeg makes.
var startOfImage = []byte{0xff, 0xd8, 0xff}

// EncodeJPEG returns the newest picture of a byte stream that begins with a keyframe, as a JPEG. It writes nothing to
// disk. log may be nil. Errors: ErrNoFFmpeg, ErrNoPicture.
func EncodeJPEG(ctx context.Context, stream []byte, log *slog.Logger) ([]byte, error) {
	program, err := findFFmpeg("", sandbox.Needs{}, log)
	if err != nil {
		return nil, fmt.Errorf("make JPEG: %w", err)
	}
	encode := func(args ...string) ([]byte, error) {
		jpegs, err := encodeJPEGs(ctx, program, stream, args...)
		if err != nil {
			return nil, fmt.Errorf("make JPEG: %w", err)
		}
		return jpegs, nil
	}

	units, err := Split(stream)
	switch {
	case err == nil && isUnfinished(units):
		return nil, fmt.Errorf("make JPEG: %w", ErrNoPicture)
	case err != nil || len(units) < 2:
		return encode("-frames:v", "1")
	}

	newest, err := encode("-vf", fmt.Sprintf("select=gte(n\\,%d)", len(units)-1), "-frames:v", "1")
	if !errors.Is(err, ErrNoPicture) {
		return newest, err
	}

	// The decoder has skipped some pictures: a gradual refresh begins with incomplete ones.
	all, err := encode()
	if err != nil {
		return nil, err
	}
	return all[bytes.LastIndex(all, startOfImage):], nil
}

// isUnfinished reports whether units begin with a gradual refresh and end before it is finished.
func isUnfinished(units [][]byte) bool {
	for _, nal := range nalUnits(units[0]) {
		if nalType(nal) == nalSEI {
			if more, ok := recoveryPoint(nal); ok {
				return uint64(len(units)) <= uint64(more)
			}
		}
	}
	return false
}

// encodeJPEGs has ffmpeg encode a byte stream, and returns one or more JPEGs, back to back.
func encodeJPEGs(ctx context.Context, p *ffmpeg, stream []byte, args ...string) ([]byte, error) {
	args = append([]string{"-v", "error", "-protocol_whitelist", "pipe", "-f", "h264", "-i", "pipe:0"}, args...)
	cmd := exec.CommandContext(ctx, p.path, append(args, "-f", "mjpeg", "-q:v", "3", "pipe:1")...)
	var out bytes.Buffer
	said := &tail{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stream), &out, said
	process, err := p.start(ctx, cmd)
	if err != nil {
		return nil, err
	}

	if err := process.Wait(); err != nil {
		return nil, said.err(err)
	}
	if !bytes.HasPrefix(out.Bytes(), startOfImage) {
		return nil, ErrNoPicture
	}
	return out.Bytes(), nil
}
