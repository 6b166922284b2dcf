package media

import "context"

// Source reads access units from an input. [Open] returns one; a program may also implement its own.
type Source interface {
	// Run reads the input and passes its access units to sink, in order and from one goroutine, with PTS counted from
	// the first. It blocks until ctx ends, and then returns its cause, or until the input dies. It returns nil only if
	// the input has ended and should not be reopened. It leaves nothing running, and may be called again.
	//
	// A program can test for what is wrong with an input: [ErrBFrames], [ErrEnded], [ErrTooLarge] and [ErrNotAnnexB] of
	// this package, the errors of package rtsp such as rtsp.ErrCredentials (whichever way the input is read), and those
	// of io/fs and syscall such as fs.ErrNotExist and syscall.ECONNREFUSED.
	//
	// The sink keeps the access unit and does not block. A Source need not set Keyframe. An access unit without Data
	// only says that the input was alive at its Captured time, and may be passed from any goroutine.
	Run(ctx context.Context, sink func(AccessUnit)) error
}

// keyframer is a Source that can request a keyframe from its input.
type keyframer interface{ RequestKeyframe() }
