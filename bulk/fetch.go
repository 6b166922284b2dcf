package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/quic-go/quic-go"
)

// ErrForged is returned if something that the camera sent does not match its hash. None of it was written.
var ErrForged = errors.New("what arrived is not what the camera offered: get it again")

// maxChanges is how often Fetch starts over if the object changes under it.
const maxChanges = 3

// List returns what the camera offers. Errors: ErrBroken, ErrCertificate, ErrMalformed, ErrFailed, ErrBusy, ctx's own.
func (c *Conn) List(ctx context.Context) ([]Info, error) {
	infos, err := c.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list what the camera offers: %w", err)
	}
	return infos, nil
}

func (c *Conn) list(ctx context.Context) (infos []Info, err error) {
	s, a, done, err := c.ask(ctx, request{List: true})
	if err != nil {
		return nil, err
	}
	defer func() { done(err) }()

	if a.Objects == nil {
		return nil, fmt.Errorf("no list: %w", ErrMalformed)
	}
	if err := readEnd(s); err != nil {
		return nil, explain(ctx, err)
	}
	return a.Objects, nil
}

// Fetch brings an object into to, and gives the file its name once it is whole. It keeps the blocks that to has
// already, and verifies every other before it is written. If the object is no longer what an interrupted transfer had,
// Fetch brings the current one. progress, which may be nil, is called from this goroutine with the bytes that are
// there, after each block. It must not use to.
//
// After an error, to holds what has arrived: call Fetch again with a connection that works. Errors: ErrBroken,
// ErrNotFound, ErrChanged if the object keeps changing, ErrBusy, ErrFailed, ErrForged, ErrMalformed, ErrTooLarge,
// ErrCertificate, ErrDiskFull, fs.ErrClosed if to is closed, ctx's own.
func (c *Conn) Fetch(ctx context.Context, id string, to *File, progress func(done, size int64)) (Info, error) {
	info, err := c.fetch(ctx, id, to, progress)
	if err != nil {
		return Info{}, fmt.Errorf("get %q: %w", id, err)
	}
	return info, nil
}

func (c *Conn) fetch(ctx context.Context, id string, to *File, progress func(done, size int64)) (Info, error) {
	if err := checkID(id); err != nil {
		return Info{}, err
	}
	if to.part == nil {
		return Info{}, fmt.Errorf("the file is closed: open it again: %w", fs.ErrClosed)
	}
	if to.info.ID != id {
		to.forget()
	}

	d := &download{conn: c, to: to, progress: progress}
	for changes := 0; !to.whole(); {
		get, err := to.next(id)
		if err != nil {
			return Info{}, err
		}
		err = d.get(ctx, &get)
		if errors.Is(err, ErrChanged) && changes < maxChanges {
			changes++
			to.giveUp()
			continue
		}
		if err != nil {
			return Info{}, err
		}
	}
	return to.info, to.finish()
}

// download is a transfer under way at the viewer.
type download struct {
	conn     *Conn
	to       *File
	progress func(done, size int64) // may be nil

	leaf   leafHash
	buffer []byte // of one block; nil until the first one
}

// get asks for blocks and writes them.
func (d *download) get(ctx context.Context, get *getRequest) (err error) {
	s, a, done, err := d.conn.ask(ctx, request{Get: get})
	if err != nil {
		return err
	}
	defer func() { done(err) }()

	switch info := a.Object; {
	case info == nil || info.ID != get.ID:
		return fmt.Errorf("another object: %w", ErrMalformed)
	case !get.Root.IsZero() && info.Root != get.Root:
		return ErrChanged
	}
	tree, err := readTree(s, *a.Object)
	if err != nil {
		return explain(ctx, err)
	}
	if d.to.tree == nil {
		if err := d.to.begin(ctx, *a.Object, tree, d.report); err != nil {
			return err
		}
	}

	for block, end := get.span(tree.blocks()); block < end; block++ {
		if ctx.Err() != nil { // of what has come already, nothing more is taken
			return context.Cause(ctx)
		}
		if err := d.readBlock(s, block); err != nil {
			return explain(ctx, err)
		}
	}
	return explain(ctx, readEnd(s))
}

// readBlock reads a block and writes it if it is the right one.
func (d *download) readBlock(s *quic.Stream, block int) error {
	if d.buffer == nil {
		d.buffer, d.leaf = make([]byte, BlockSize), newLeafHash()
	}
	if err := s.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return err
	}
	b := d.buffer[:d.to.tree.length(block)]
	d.leaf.Reset()
	for got := 0; got < len(b); {
		n, err := s.Read(b[got:])
		d.leaf.Write(b[got:][:n]) // while it is in the processor's cache
		if got += n; err != nil && got < len(b) {
			return fmt.Errorf("read block %d: %w", block, short(err))
		}
	}

	var sum [leafSize]byte
	if !bytes.Equal(d.leaf.Sum(sum[:0]), d.to.tree.leaf(block)) {
		return fmt.Errorf("block %d: %w", block, ErrForged)
	}
	if err := d.to.write(block, b); err != nil {
		return err
	}
	d.report()
	return nil
}

// report tells the caller how far the transfer is.
func (d *download) report() {
	if d.progress != nil {
		d.progress(d.to.done, d.to.tree.Size())
	}
}

// ask opens a stream, sends a request and reads how the answer begins; the caller reads on, and then calls done with
// its error, which frees the stream. If ctx ends before that, reading ends.
func (c *Conn) ask(ctx context.Context, r request) (_ *quic.Stream, _ reply, done func(error), err error) {
	wire, err := appendRequest(nil, r)
	if err != nil {
		return nil, reply{}, nil, err
	}
	opening, cancel := context.WithTimeoutCause(ctx, stall, ErrBroken)
	defer cancel()
	s, err := c.quic.OpenStreamSync(opening)
	if err != nil {
		return nil, reply{}, nil, explain(opening, err)
	}

	giveUp := func() {
		s.CancelRead(streamGivenUp)
		s.CancelWrite(streamGivenUp)
	}
	stop := context.AfterFunc(ctx, giveUp)
	done = func(err error) {
		if stop(); err != nil {
			giveUp()
		}
	}
	a, err := send(s, wire)
	if err != nil {
		done(err)
		return nil, reply{}, nil, explain(ctx, err)
	}
	return s, a, done, nil
}

// send writes a request and reads how the answer begins.
func send(s *quic.Stream, wire []byte) (reply, error) {
	if err := s.SetDeadline(time.Now().Add(stall)); err != nil {
		return reply{}, err
	}
	if _, err := s.Write(wire); err != nil {
		return reply{}, err
	}
	if err := s.Close(); err != nil { // this direction alone
		return reply{}, err
	}
	return readReply(s)
}
