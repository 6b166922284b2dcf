package media

import (
	"context"
	"errors"
	"sync"
)

var errSwitched = errors.New("the input was replaced: opening the new one")

// Switch is a Source that reads another Source, which can be replaced at any time.
type Switch struct {
	mu       sync.Mutex // guards all below
	source   Source
	replaced chan struct{} // closed when source is replaced
}

// NewSwitch returns a Source that reads source.
func NewSwitch(source Source) *Switch {
	return &Switch{source: source, replaced: make(chan struct{})}
}

// Replace makes Run end. The next Run reads source.
func (s *Switch) Replace(source Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.replaced)
	s.source, s.replaced = source, make(chan struct{})
}

// Run reads the current source. It returns an error when that is replaced.
func (s *Switch) Run(ctx context.Context, sink func(AccessUnit)) error {
	s.mu.Lock()
	source, replaced := s.source, s.replaced
	s.mu.Unlock()

	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() {
		select {
		case <-replaced:
			cancel(errSwitched)
		case <-ctx.Done():
		}
	})

	return source.Run(ctx, sink)
}

// RequestKeyframe requests a keyframe from the current source, if the source supports that.
func (s *Switch) RequestKeyframe() {
	s.mu.Lock()
	source := s.source
	s.mu.Unlock()
	if source, ok := source.(keyframer); ok {
		source.RequestKeyframe()
	}
}
