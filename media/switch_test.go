package media

import (
	"context"
	"errors"
	"testing"
)

// askedSource runs until its context ends, and counts requests for keyframes.
type askedSource struct {
	began chan struct{}
	asked int
}

func (s *askedSource) Run(ctx context.Context, _ func(AccessUnit)) error {
	close(s.began)
	<-ctx.Done()
	return context.Cause(ctx)
}

func (s *askedSource) RequestKeyframe() { s.asked++ }

// Replacing the source ends Run. Requests for keyframes go to the current source.
func TestSwitchReadsItsCurrentSource(t *testing.T) {
	first, second := &askedSource{began: make(chan struct{})}, &askedSource{began: make(chan struct{})}
	s := NewSwitch(first)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context(), func(AccessUnit) {}) }()
	<-first.began
	s.RequestKeyframe()

	s.Replace(second)
	if err := <-ended; !errors.Is(err, errSwitched) {
		t.Errorf("Run returned %v", err)
	}
	s.RequestKeyframe()
	if first.asked != 1 || second.asked != 1 {
		t.Errorf("the sources got %d and %d requests for keyframes, want one each", first.asked, second.asked)
	}

	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.Run(ctx, func(AccessUnit) {}) }()
	<-second.began
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}

	s.Replace(fileSource{}) // it takes no requests for keyframes
	s.RequestKeyframe()
}
