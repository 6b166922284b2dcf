package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

// pollEvery is how often pion is asked while packets are missing: it hands out one that was sent again only when it is asked for the next.
const pollEvery = 10 * time.Millisecond

// opener turns the packets of a track into opened frames.
type opener struct {
	carrier  media.Carrier
	receiver *sframe.Receiver
	binding  []byte
	fresh    *freshness
	onFrame  func(Frame)
	reject   func(what string, err error)
	onLost   func(numbers []uint16) // packets are to be sent again
	next     uint64                 // the lowest counter that may still be shown
}

// run reads the track until it ends.
func (o *opener) run(ctx context.Context, track *webrtc.TrackRemote) error {
	assembler := media.NewAssembler(o.carrier)
	for ctx.Err() == nil {
		var until time.Time
		if assembler.Waiting() {
			until = time.Now().Add(pollEvery)
		}
		if err := track.SetReadDeadline(until); err != nil {
			return fmt.Errorf("set read deadline: %w", err)
		}
		packet, _, err := track.ReadRTP()
		var frames []media.Frame
		var failure net.Error
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &failure) && failure.Timeout():
			frames, _ = assembler.Expire()
		case err != nil:
			return err
		default:
			frames, _ = assembler.Push(packet)
		}
		for _, f := range frames {
			o.open(f)
		}
		if numbers := assembler.Missing(); len(numbers) > 0 {
			o.onLost(numbers)
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
