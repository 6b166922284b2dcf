package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
)

// pollEvery is how often to ask pion for a packet while packets are missing: it hands out a retransmitted packet only
// to a reader that asks for the next one.
const pollEvery = 10 * time.Millisecond

// ReceiverConfig is what a receiver needs. The functions are called from the goroutine that runs it.
type ReceiverConfig struct {
	Carrier   media.Carrier
	Opener    *handshake.FrameOpener
	OnFrame   func(handshake.Frame)               // called with each picture that can be decoded, in order
	OnMissing func()                              // called when a keyframe is needed to go on
	OnLost    func(ssrc uint32, numbers []uint16) // called with the packets that the camera must send again
	OnReject  func(error)                         // called when a frame does not open
}

// Receiver turns the packets of a track into pictures: it assembles frames, opens them, joins the pieces of large
// pictures, and holds back those that refer to a missing one.
type Receiver struct {
	cfg       ReceiverConfig
	assembler *media.Assembler
	filter    gapFilter
}

func NewReceiver(cfg ReceiverConfig) *Receiver {
	return &Receiver{cfg: cfg, assembler: media.NewAssembler(cfg.Carrier)}
}

// Run reads the track until it ends.
func (r *Receiver) Run(ctx context.Context, track *webrtc.TrackRemote) error {
	for ctx.Err() == nil {
		frames, err := r.readFrames(track)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}

		for _, f := range frames {
			r.openFrame(f)
		}
		if numbers := r.assembler.Missing(); len(numbers) > 0 {
			r.cfg.OnLost(uint32(track.SSRC()), numbers)
		}
	}
	return nil
}

// readFrames reads a packet and returns the frames that it completes. While packets are missing, it waits only for
// pollEvery, and gives up frames whose time is over.
func (r *Receiver) readFrames(track *webrtc.TrackRemote) (frames []media.Frame, err error) {
	var until time.Time
	if r.assembler.Waiting() {
		until = time.Now().Add(pollEvery)
	}
	if err := track.SetReadDeadline(until); err != nil {
		return nil, fmt.Errorf("set read deadline: %w", err)
	}

	packet, _, err := track.ReadRTP()
	var failure net.Error
	switch {
	case err == nil:
		frames, _ = r.assembler.Push(packet)
	case errors.As(err, &failure) && failure.Timeout():
		frames, _ = r.assembler.Expire()
	default:
		return nil, err
	}

	return frames, nil
}

// openFrame opens one frame, and passes on the picture that it completes if that can be decoded. It reports a frame
// that does not open.
func (r *Receiver) openFrame(f media.Frame) {
	picture, whole, err := r.cfg.Opener.Open(f.Sealed)
	switch {
	case err != nil:
		r.cfg.OnReject(err)
	case !whole:
	case r.filter.decodable(picture):
		r.cfg.OnFrame(picture)
	case r.filter.shouldAsk():
		r.cfg.OnMissing()
	}
}
