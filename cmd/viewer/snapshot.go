package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/peephole-cam/peephole/cmd/internal/cli"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/viewer"
)

// snapshotTimeout is how long a snapshot waits for a live picture by default.
const snapshotTimeout = 30 * time.Second

var snapshotHelp = cli.Help{
	Name: "viewer snapshot",
	Text: `viewer snapshot "front door" -o picture.jpg

Takes one picture of a camera (a NAME or ID from viewer list) and saves it as a
JPEG. The picture is always live, never an old one. Needs ffmpeg.
`,
}

func (c *command) snapshot(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("snapshot", flag.ContinueOnError)
	output := fs.String("o", "", "write the JPEG to this `file`; - is standard output")
	timeout := cli.Duration(fs, "timeout", snapshotTimeout, time.Second, time.Hour,
		"wait up to this `time` for a live picture")
	name, err := c.parse(snapshotHelp, fs, args, "NAME")
	if err != nil {
		return err
	}
	if *output == "" {
		return errors.New("no output file: say -o FILE.jpg")
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		return errors.New("a JPEG needs ffmpeg: run apt-get install ffmpeg")
	}

	picture, err := c.newSnapshot(*timeout).take(ctx, name)
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

// snapshot is one request for a picture.
type snapshot struct {
	*command
	timeout  time.Duration
	rejected rejections
	line     *waitLine
	slow     bool // a picture took so long to decode that it was no longer live
}

func (c *command) newSnapshot(timeout time.Duration) *snapshot {
	return &snapshot{
		command:  c,
		timeout:  timeout,
		rejected: rejections{stderr: c.stderr},
		line: &waitLine{
			stderr: c.stderr,
			until:  time.Now().Add(timeout),
			why:    "waiting for the camera's answer",
		},
	}
}

// take returns a live JPEG. It first asks by signaling, which works if the camera has a picture that is small enough.
// Otherwise it watches the stream until that shows one.
func (s *snapshot) take(ctx context.Context, name string) ([]byte, error) {
	waiting, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	go s.line.run(waiting)
	defer s.line.stop()

	still, err := s.viewer.Still(waiting, name, s.rejected.count)
	var refusal *session.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Code == session.StillRefusal:
		s.line.setReason(refusal.Text)
	case err != nil:
		return nil, s.rejected.explain(s.explainTimeout(ctx, waiting, err), 0)
	default:
		picture, err := s.encode(waiting, still.AccessUnit, still)
		if picture != nil || err != nil {
			return picture, s.explainTimeout(ctx, waiting, err)
		}
	}

	picture, err := s.watch(waiting, name)
	return picture, s.rejected.explain(s.explainTimeout(ctx, waiting, err), 0)
}

// encode makes a JPEG of the last picture of a stream that ends with frame f. It returns nil if there is no whole
// picture yet, if f is not live, or if f is no longer live once the JPEG is made.
func (s *snapshot) encode(ctx context.Context, stream []byte, f session.Frame) ([]byte, error) {
	if !f.Live() {
		return nil, nil
	}
	picture, err := media.EncodeJPEG(ctx, stream, s.log)
	if errors.Is(err, media.ErrNoPicture) {
		s.line.setReason("the camera refreshes its picture bit by bit, and it is not complete yet")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !f.Live() { // checked last, since making the picture takes time too
		s.slow = true
		return nil, nil
	}
	return picture, nil
}

// watch watches the stream until it shows a live picture.
func (s *snapshot) watch(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	newest := make(chan group, 1) // the newest group not encoded yet
	ended := make(chan error, 1)
	go func() { ended <- s.viewer.Watch(ctx, name, s.collect(newest)) }()

	for {
		select {
		case err := <-ended:
			return nil, errors.Join(err, ctx.Err())
		case g := <-newest:
			picture, err := s.encode(ctx, g.stream, g.frame)
			if picture == nil && err == nil {
				continue
			}
			cancel()
			<-ended
			return picture, err
		}
	}
}

// group is a group of pictures up to a frame that was live when it came.
type group struct {
	stream []byte
	frame  session.Frame
}

// collect collects the stream's current group of pictures, and sends it to newest whenever its last picture is live.
func (s *snapshot) collect(newest chan group) viewer.Watch {
	var stream []byte
	began := false
	onFrame := func(f session.Frame) {
		if f.Keyframe && !f.Still {
			stream, began = nil, true
		}
		if f.Still || !began {
			return
		}
		stream = append(stream, f.AccessUnit...)
		if !f.Live() {
			return
		}

		select {
		case <-newest: // replaced by this newer one
		default:
		}
		newest <- group{stream[:len(stream):len(stream)], f}
	}

	return viewer.Watch{
		OnFrame:   onFrame,
		OnReject:  s.rejected.count,
		OnPhase:   func(name string) { s.line.setReason(phases[name]) },
		OnRetry:   func(err error) { s.line.setReason(err.Error() + "; trying again") },
		OnSession: func() { began = false },
		OnStatus: func(status session.Status) {
			if status.Text != "" {
				s.line.setReason("the camera says: " + status.Text)
			}
		},
	}
}

// explainTimeout replaces err by what a person can do, if the time ran out.
func (s *snapshot) explainTimeout(ctx, waiting context.Context, err error) error {
	if err == nil || ctx.Err() != nil || !errors.Is(waiting.Err(), context.DeadlineExceeded) {
		return err
	}
	if s.slow {
		return fmt.Errorf("no live picture within %s: this computer takes too long to decode one; "+
			"close other programs, or set the camera's keyframe interval (GOP) to 2 s", s.timeout)
	}
	return fmt.Errorf("no live picture within %s: %s; say -timeout %s to wait longer",
		s.timeout, printable.Text(s.line.reason()), 4*s.timeout)
}
