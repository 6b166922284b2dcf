package session

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

// opener turns the packets of a track into opened frames.
type opener struct {
	carrier   media.Carrier
	receiver  *sframe.Receiver
	binding   []byte
	fresh     *freshness
	onFrame   func(Frame)
	reject    func(what string, err error)
	onMissing func() // a keyframe is needed to go on
	next      uint64 // the lowest counter that may still be shown
}

// run reads the track until it ends.
func (o *opener) run(ctx context.Context, track *webrtc.TrackRemote) error {
	assembler := media.NewAssembler(o.carrier)
	for ctx.Err() == nil {
		packet, _, err := track.ReadRTP()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		frames, lost := assembler.Push(packet)
		for _, f := range frames {
			o.open(f)
		}
		if lost > 0 {
			o.onMissing()
		}
	}
	return nil
}

// open shows one frame or counts it as rejected; there is nothing between the two.
func (o *opener) open(f media.Frame) {
	plaintext, ctr, err := o.receiver.Open(nil, o.binding, f.Sealed)
	if err != nil {
		o.reject("frame", err)
		return
	}
	if ctr < o.next { // the assembler delivers in order, so it was put out of order outside SRTP
		o.reject("frame", sframe.ErrReplayed)
		return
	}
	o.next = ctr + 1
	frame, c, err := parseFrame(plaintext)
	if err != nil {
		o.reject("frame", err)
		return
	}
	frame.CTR = ctr
	o.fresh.judge(&frame, c, time.Now())
	o.onFrame(frame)
}
