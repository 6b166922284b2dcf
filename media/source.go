package media

import "context"

// Source is where access units come from.
type Source interface {
	// Run reads the input and gives sink one access unit after the other, from one goroutine, with PTS counted from
	// its first one. It blocks until ctx ends (then it returns its cause) or the input dies. It returns nil only for an
	// input that has come to its end and wants no reopening. It leaves nothing running and may be called again.
	// A sink keeps the access unit and must not block.
	Run(ctx context.Context, sink func(AccessUnit)) error
}
