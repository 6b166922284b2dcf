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
	// DefaultStall is how long an input may be silent before it is reopened. It may send pictures more rarely if it
	// shows in between that it is alive.
	DefaultStall = 10 * time.Second

	minBackoff = 500 * time.Millisecond
	maxBackoff = 15 * time.Second

	// longestPeriod is the longest time between two keyframes that cameras are usually set to.
	longestPeriod = time.Minute
)

var (
	// ErrStalled is the State's error while an input is open and sends nothing.
	ErrStalled = errors.New("the input has stalled: nothing arrives")
)

// State describes how a Feed is doing.
type State struct {
	Live     bool      // pictures arrive
	Err      error     // why no pictures arrive; nil if Live
	Since    time.Time // when Live last changed
	Seen     bool      // there has been a picture since the Feed began
	Restarts int       // how often the input has died
	Dropped  int       // pictures that arrived but could not be shown, since the Feed began
	Joining  string    // if Live, why a new subscriber gets no picture at once; empty if it gets one
	Note     string    // if Live, why some viewers may see no picture; empty if there is no reason to expect that
}

// String returns a sentence for a person: "live", "no video yet: …", or "no video: …" if there was video before.
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
	Log     *slog.Logger  // if nil, nothing is logged
	OnState func(State)   // if not nil, called whenever the state's sentence changes; it must not block
}

// Feed keeps a Source running and broadcasts its access units. When the input dies, stalls, or turns out to have
// B-frames, the Feed's State says so, and the Feed opens it again after a jittered backoff of up to 15 s.
type Feed struct {
	*Broadcast
	source  Source
	options FeedOptions

	mu     sync.Mutex // guards all below
	state  State
	period time.Duration // between two keyframes; 0 if unknown
	since  time.Time     // when the last keyframe came, or the first picture if none has come
	idr    bool          // the current stream has IDR pictures
	bad    bool          // the stream had B-frames when it was last read
}

// NewFeed returns a Feed of source. It starts nothing; Run does.
func NewFeed(source Source, o FeedOptions) *Feed {
	if o.Stall == 0 {
		o.Stall = DefaultStall
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Feed{
		Broadcast: NewBroadcast(),
		source:    source,
		options:   o,
		state:     State{Err: connecting(o.Stall), Since: time.Now()},
	}
}

// connecting returns the State's error until the input has sent something, or has sent nothing for limit.
func connecting(limit time.Duration) error {
	return fmt.Errorf("connecting to the input, up to %.0f s", limit.Seconds())
}

// State returns how the Feed is doing.
func (f *Feed) State() State {
	hasGroup := f.hasGroup()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.state
	if s.Live && !f.idr {
		s.Note = "the camera refreshes its picture bit by bit and never sends a whole keyframe, " +
			"which some browsers cannot show: switch off intra refresh in its settings"
	}

	if s.Live && !hasGroup {
		s.Joining = "the picture starts with the camera's next keyframe" + f.keyframeWait()
	}
	return s
}

// keyframeWait returns the end of a sentence that says how long the next keyframe can take. mu must be held.
func (f *Feed) keyframeWait() string {
	waited := time.Since(f.since)
	switch {
	case f.period > 0 && waited < 3*f.period: // the camera still does as it did; one keyframe may have been lost
		return fmt.Sprintf(", one comes every %.0f s", max(f.period.Seconds(), 1))
	case waited < longestPeriod:
		return ", which can take 1 to 60 s: to shorten the wait, set its keyframe interval (GOP) to 2 s"
	}
	return ", and none has come for a minute: set its keyframe interval (GOP) to 2 s"
}

// Run reads the source. It returns ctx's cause when ctx ends, or nil when the source has ended for good, and then ends
// all subscriptions. It may be called only once.
func (f *Feed) Run(ctx context.Context) error {
	defer f.Close()
	start := time.Now()
	backoff := minBackoff
	for {
		r := newReading(f, time.Since(start))
		err := r.run(ctx)
		f.Reset()
		if ctx.Err() != nil {
			return fmt.Errorf("feed: %w", context.Cause(ctx))
		}
		if err == nil {
			return nil
		}

		f.died(err)
		if r.live && !errors.Is(err, ErrBFrames) {
			backoff = minBackoff
		}
		wait := backoff/2 + rand.N(backoff/2)
		f.options.Log.Info("input died", "err", err, "reopen_in", wait)
		select {
		case <-ctx.Done():
			return fmt.Errorf("feed: %w", context.Cause(ctx))
		case <-time.After(wait):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (f *Feed) died(err error) {
	f.change(func(s *State) { s.Live, s.Err, s.Restarts = false, err, s.Restarts+1 })
	f.mu.Lock()
	f.bad = errors.Is(err, ErrBFrames)
	f.mu.Unlock()
}

// change applies edit to the state, and calls OnState if that changes the sentence.
func (f *Feed) change(edit func(*State)) {
	f.mu.Lock()
	before := f.state
	edit(&f.state)
	if f.state.Live != before.Live {
		f.state.Since = time.Now()
	}

	after := f.state
	f.mu.Unlock()
	if after.String() != before.String() && f.options.OnState != nil {
		f.options.OnState(after)
	}
}
