package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

// smallFrame is the size up to which the connection's own charge covers a frame.
const smallFrame = 4 << 10

// errBusy ends a connection whose payer may buffer no more.
var errBusy = errors.New("no room for a frame")

// A frame of MaxFrame bytes leaves one byte free, so that its end is noticed.
var (
	smallFrames = sync.Pool{New: func() any { b := make([]byte, smallFrame); return &b }}
	largeFrames = sync.Pool{New: func() any { b := make([]byte, signaling.MaxFrame+1); return &b }}
)

// readFrame waits for the client's next frame, which is valid until release is called. For a frame larger than
// smallFrame, it pays before it reads the rest, which must arrive in time: a client that sends half a frame holds
// nothing for long.
func (c *conn) readFrame(ctx context.Context) (frame []byte, release func(), err error) {
	r, err := c.frames.NextReader(ctx)
	if err != nil {
		return nil, nil, err
	}
	small := smallFrames.Get().(*[]byte)
	release = func() { smallFrames.Put(small) }
	n, err := io.ReadFull(r, *small)
	if err != nil {
		return ended((*small)[:n], release, err)
	}

	defer release()
	if c.inbound.Grow(signaling.MaxFrame) != nil {
		return nil, nil, errBusy
	}
	large := largeFrames.Get().(*[]byte)
	freed := func() {
		largeFrames.Put(large)
		c.inbound.Shrink(signaling.MaxFrame)
	}

	timer := time.AfterFunc(frameTimeout, c.cancel)
	defer timer.Stop()
	copy(*large, *small)
	m, err := io.ReadFull(r, (*large)[n:])
	return ended((*large)[:n+m], freed, err)
}

// ended returns a frame that was read to its end, or the error with which reading failed.
func ended(frame []byte, release func(), err error) ([]byte, func(), error) {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return frame, release, nil
	}
	release()
	if err == nil {
		err = signaling.ErrFrame
	}

	return nil, nil, err
}

// roomPause is how long a frame for which there is no room waits before the next try.
const roomPause = 100 * time.Millisecond

// payForWrite pays for the copy of a frame that writeFrame makes, or waits a little if there is no room. ok reports
// whether the connection stays up.
func (c *conn) payForWrite(ctx context.Context, f signaling.Frame) (paid, ok bool) {
	if c.out.borrow(frameCost(f)) != nil {
		return false, pause(ctx, roomPause)
	}
	return true, true
}

// writeFrame writes a frame for which payForWrite has paid, and reports whether the connection stays up.
func (c *conn) writeFrame(ctx context.Context, f signaling.Frame) bool {
	defer c.out.repay(frameCost(f))

	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return c.frames.Write(ctx, signaling.Append(nil, f)) == nil
}

// pause waits, and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
