package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
)

func (c *command) snapshot(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("snapshot", flag.ContinueOnError)
	output := fs.String("o", "", "write the picture to this `file` (JPEG); - is standard output")
	name, err := c.arguments(fs, args, "NAME")
	if err != nil {
		return err
	}
	if *output == "" {
		return errors.New("no output given: say -o FILE.jpg")
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		return errors.New("ffmpeg is needed to make a JPEG: run apt-get install ffmpeg")
	}
	rejected := rejections{stderr: c.stderr}
	still, err := c.viewer.Still(ctx, name, rejected.add)
	if err != nil {
		return rejected.explain(err, 0)
	}
	if !still.Live {
		return errors.New("the camera's last picture is not live: its source may be dead; see viewer watch")
	}
	picture, err := encodeJPEG(ctx, still.AccessUnit)
	if err != nil {
		return err
	}
	if *output == "-" {
		_, err = c.stdout.Write(picture)
		return err
	}
	if err := os.WriteFile(*output, picture, 0o600); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	fmt.Fprintf(c.stderr, "wrote %s\n", *output)
	return nil
}

// encodeJPEG has ffmpeg make a JPEG of one keyframe; the picture touches no disk on the way.
func encodeJPEG(ctx context.Context, keyframe []byte) ([]byte, error) {
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-f", "h264", "-i", "pipe:0", "-frames:v", "1", "-f", "mjpeg", "-q:v", "3", "pipe:1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(keyframe), &out, &complaint
	if err := cmd.Run(); err != nil || out.Len() == 0 {
		return nil, fmt.Errorf("make JPEG: %w: %s", errors.Join(err, errNoPicture), bytes.TrimSpace(complaint.Bytes()))
	}
	return out.Bytes(), nil
}

var errNoPicture = errors.New("ffmpeg made no picture")
