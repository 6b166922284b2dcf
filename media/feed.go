package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// DefaultStall is how long an input may be silent before it is reopened.
	DefaultStall = 10 * time.Second

	backoffFirst = 500 * time.Millisecond
	backoffMost  = 15 * time.Second
	// probation is how many pictures of a stream that may have B-frames are looked at before the first is handed out:
	// the longest run of B-frames (16, x264's limit) and the picture they belong to.
	probation = 17
)

var (
	// ErrStalled says that the input is open and sends nothing.
	ErrStalled = errors.New("the input has stalled: no picture arrives")
	errNotYet  = errors.New("connecting to the input")
)

// State is how a Feed is doing.
type State struct {
	Live     bool      // pictures arrive
	Err      error     // why they do not; nil if Live
	Since    time.Time // when Live last changed
	Seen     bool      // there was a picture since the Feed began
	Restarts int       // how often the input died
}

// String is a sentence for a person: "live", or "no video yet: …", or "no video: …" once there had been some.
func (s State) String() string {
	switch {
	case s.Live:
		return "live"
	case s.Seen:
		return fmt.Sprintf("no video: %v", s.Err)
	}
	return fmt.Sprintf("no video yet: %v", s.Err)
}

// FeedOptions configures a Feed. The zero value is ready to use.
type FeedOptions struct {
	Stall   time.Duration // DefaultStall if 0
	Log     *slog.Logger  // none if nil
	OnState func(State)   // called from Run whenever the state's sentence changes; it must not block
}

// Feed keeps a Source running and broadcasts what it reads. When the input dies, stalls or turns out to have
// B-frames, it says so in its State and opens it again after a jittered back-off of 0.5 s to 15 s.
type Feed struct {
	*Broadcast
	source  Source
	options FeedOptions

	mu    sync.Mutex // guards state
	state State
}

// NewFeed returns a Feed of source. Nothing runs yet.
func NewFeed(source Source, o FeedOptions) *Feed {
	if o.Stall == 0 {
		o.Stall = DefaultStall
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Feed{Broadcast: NewBroadcast(), source: source, options: o, state: State{Err: errNotYet, Since: time.Now()}}
}

// State returns how the Feed is doing.
func (f *Feed) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Run reads the source until ctx ends, whose cause it returns, or until the input has come to its end and wants no
// reopening (nil). It then ends all subscriptions. It is called once.
func (f *Feed) Run(ctx context.Context) error {
	defer f.Close()
	start := time.Now()
	backoff := backoffFirst
	for {
		r := &reading{feed: f, base: time.Since(start)}
		err := r.run(ctx)
		f.Reset()
		if ctx.Err() != nil {
			return fmt.Errorf("feed: %w", context.Cause(ctx))
		}
		if err == nil {
			return nil
		}
		f.died(err)
		if r.live {
			backoff = backoffFirst
		}
		wait := backoff/2 + rand.N(backoff/2)
		f.options.Log.Info("input died", "err", err, "reopen_in", wait)
		select {
		case <-ctx.Done():
			return fmt.Errorf("feed: %w", context.Cause(ctx))
		case <-time.After(wait):
		}
		backoff = min(2*backoff, backoffMost)
	}
}

func (f *Feed) died(err error) {
	f.change(func(s *State) { s.Live, s.Err, s.Restarts = false, err, s.Restarts+1 })
}

// change applies to to the state and tells OnState if the sentence is another.
func (f *Feed) change(to func(*State)) {
	f.mu.Lock()
	before := f.state
	to(&f.state)
	if f.state.Live != before.Live {
		f.state.Since = time.Now()
	}
	after := f.state
	f.mu.Unlock()
	if after.String() != before.String() && f.options.OnState != nil {
		f.options.OnState(after)
	}
}

// reading is one run of the source.
type reading struct {
	feed      *Feed
	base      time.Duration // the PTS of its first access unit
	sets      ParameterSets
	inspector Inspector
	pictures  int
	held      []AccessUnit // on probation
	live      bool
	cancel    context.CancelCauseFunc
	failed    bool
}

func (r *reading) run(ctx context.Context) error {
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	stall := time.AfterFunc(r.feed.options.Stall, func() { r.cancel(ErrStalled) })
	defer stall.Stop()
	err := r.feed.source.Run(ctx, func(unit AccessUnit) {
		stall.Reset(r.feed.options.Stall)
		r.take(unit)
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	r.release() // a short input ended on probation
	return err
}

func (r *reading) take(unit AccessUnit) {
	if r.failed {
		return
	}
	picture, key, err := r.inspector.Inspect(unit.Data)
	if err != nil {
		r.failed, r.held = true, nil
		r.cancel(err)
		return
	}
	data, decodable := r.sets.Complete(unit.Data)
	if !picture || !decodable || r.pictures == 0 && !key {
		return // decoding cannot begin here
	}
	r.pictures++
	unit.Data, unit.Keyframe, unit.PTS = data, key, unit.PTS+r.base
	r.held = append(r.held, unit)
	if !r.inspector.CanReorder() || r.pictures >= probation {
		r.release()
	}
}

func (r *reading) release() {
	for _, unit := range r.held {
		if !r.live {
			r.live = true
			r.feed.change(func(s *State) { s.Live, s.Seen, s.Err = true, true, nil })
		}
		r.feed.Send(unit)
	}
	r.held = nil
}
