package handshake

import "github.com/peephole-cam/peephole/crypto/sframe"

// FrameOpener opens the camera's frames and joins the pieces of large pictures. One goroutine uses it.
type FrameOpener struct {
	receiver *sframe.Receiver
	binding  []byte
	fresh    *Freshness
	next     uint64 // the lowest counter that may still be shown
	joiner   joiner
}

// NewFrameOpener returns a FrameOpener for the pictures of a session. fresh determines how old they are.
func (s *Secret) NewFrameOpener(fresh *Freshness) (*FrameOpener, error) {
	receiver, err := s.frameReceiver(videoTrack)
	if err != nil {
		return nil, err
	}
	return &FrameOpener{receiver: receiver, binding: s.binding(videoTrack), fresh: fresh}, nil
}

// Open opens a frame. It returns the picture that the frame completes, or false if it completes none.
func (o *FrameOpener) Open(sealed []byte) (whole Frame, ok bool, err error) {
	plaintext, ctr, err := o.receiver.Open(nil, o.binding, sealed)
	if err != nil {
		return Frame{}, false, err
	}
	if ctr < o.next { // frames arrive in order, so somebody outside SRTP reordered this one
		return Frame{}, false, sframe.ErrReplayed
	}
	o.next = ctr + 1

	frame, c, err := parseFrame(plaintext)
	if err != nil {
		return Frame{}, false, err
	}
	frame.First, frame.CTR = ctr, ctr
	frame.Challenged = o.fresh.when(c)
	whole, ok = o.joiner.join(frame)
	return whole, ok, nil
}
