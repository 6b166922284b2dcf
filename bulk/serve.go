package bulk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"
)

// requestsPerSecond and requestsAtOnce bound how fast a connection's requests are answered, since each may cost the
// Source work. The rest wait.
const (
	requestsPerSecond = 4
	requestsAtOnce    = 16
)

// Serve answers the viewer's requests until ctx or the connection ends. busy reports whether a live picture is being
// sent now; it is called often, by several goroutines. Serve returns nil if either end has said goodbye. Errors:
// ErrBroken, ErrCertificate, ctx's own.
func (c *Conn) Serve(ctx context.Context, from Source, busy func() bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var streams sync.WaitGroup // at most maxStreams: the viewer may not open more
	defer streams.Wait()
	defer cancel()

	allowance := rate.NewLimiter(requestsPerSecond, requestsAtOnce)
	for {
		s, err := c.quic.AcceptStream(ctx)
		if err == nil {
			err = allowance.Wait(ctx)
		}
		if err != nil {
			if ctx.Err() == nil && saidGoodbye(err) {
				return nil
			}
			return fmt.Errorf("serve viewer: %w", explain(ctx, err))
		}
		u := &upload{conn: c, stream: s, from: from, busy: busy}
		streams.Go(func() { u.run(ctx) })
	}
}

// upload answers one request.
type upload struct {
	conn   *Conn
	stream *quic.Stream
	from   Source
	busy   func() bool
}

// run answers the request, and makes sure that the stream ends.
func (u *upload) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopCancel := context.AfterFunc(u.stream.Context(), cancel) // the viewer has given up
	stopAbort := context.AfterFunc(ctx, func() { u.abort(streamInterrupt) })

	code := streamFailed
	r, err := u.read()
	switch {
	case err != nil:
		code = streamMalformed
	case r.List:
		err = u.list(ctx)
	default:
		err = u.get(ctx, r.Get)
	}

	stopCancel()
	if !stopAbort() { // aborted, or about to be
		return
	}
	if err != nil || u.stream.Close() != nil {
		u.abort(code)
	}
}

// abort ends the stream at once.
func (u *upload) abort(code quic.StreamErrorCode) {
	u.stream.CancelRead(code)
	u.stream.CancelWrite(code)
}

func (u *upload) read() (request, error) {
	if err := u.stream.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
		return request{}, err
	}
	return readRequest(u.stream)
}

// list answers with what there is.
func (u *upload) list(ctx context.Context) error {
	infos, err := u.from.List(ctx)
	if err != nil {
		return u.refuse(ctx, err)
	}
	for _, i := range infos {
		if err := i.check(true); err != nil {
			return u.refuse(ctx, err)
		}
	}

	infos = append([]Info{}, infos[:min(len(infos), maxListed)]...) // not nil
	wire, err := appendReply(nil, reply{Objects: infos})
	for err != nil && len(infos) > 0 { // too long
		infos = infos[:len(infos)*9/10]
		wire, err = appendReply(nil, reply{Objects: infos})
	}
	if err != nil {
		return err
	}
	return u.write(ctx, wire)
}

// get answers with an object.
func (u *upload) get(ctx context.Context, get *getRequest) (err error) {
	o, err := u.from.Open(ctx, get.ID, get.Root)
	if err != nil {
		return u.refuse(ctx, err)
	}
	defer func() { err = errors.Join(err, o.Close()) }()

	tree := o.Tree()
	info := Info{ID: get.ID, Name: o.Name(), Size: tree.Size(), Root: tree.Root()}
	err = info.check(false)
	switch {
	case err == nil && o.Size() != tree.Size():
		err = fmt.Errorf("%d bytes with a tree of %d: %w", o.Size(), tree.Size(), ErrChanged)
	case err == nil && !get.Root.IsZero() && get.Root != info.Root:
		err = ErrChanged
	}
	if err != nil {
		return u.refuse(ctx, err)
	}

	wire, err := appendReply(nil, reply{Object: &info})
	if err != nil {
		return err
	}
	if err := u.write(ctx, wire); err != nil {
		return err
	}
	if err := u.write(ctx, tree.leaves); err != nil {
		return err
	}
	return u.sendBlocks(ctx, o, get)
}

// sendBlocks sends the bytes of the blocks that are asked for.
func (u *upload) sendBlocks(ctx context.Context, o Object, get *getRequest) error {
	first, end := get.span(o.Tree().blocks())
	at, to := int64(first)*BlockSize, min(int64(end)*BlockSize, o.Size())
	piece := make([]byte, min(pieceSize, max(0, to-at)))

	for at < to {
		b := piece[:min(int64(len(piece)), to-at)]
		if n, err := o.ReadAt(b, at); n < len(b) {
			return fmt.Errorf("read object: %w", err)
		}
		if err := u.write(ctx, b); err != nil {
			return err
		}
		at += int64(len(b))
	}
	return nil
}

// refuse tells the viewer why its request is refused.
func (u *upload) refuse(ctx context.Context, why error) error {
	wire, err := appendReply(nil, reply{Error: newRefusal(why)})
	if err != nil {
		return err
	}
	return u.write(ctx, wire)
}

// write writes all of b, at the pace that leaves room for the picture.
func (u *upload) write(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		n, err := u.conn.pace.hold(ctx, u.conn.measure(), u.busy(), len(b))
		if err != nil {
			return err
		}
		if err := u.stream.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return err
		}
		if _, err := u.stream.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
