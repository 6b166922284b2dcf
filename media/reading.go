package media

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/clock"
)

const (
	// probation is how many pictures of a stream that is likely to have B-frames are inspected before the first one is
	// broadcast: the longest run of B-frames (16, x264's limit) and the picture they belong to.
	probation = 17
	// firstHold is how long the first picture is held back for the second, which shows whether B-frames are likely.
	firstHold = 250 * time.Millisecond
	// explainAfter is how long pictures may be missing before the State says why. A session passes that on within a
	// second, and the person should read it within two.
	explainAfter = 900 * time.Millisecond
	// explainEvery is how often the State says why again, and a keyframe is requested again.
	explainEvery = 1500 * time.Millisecond
)

var (
	errNotSent = errors.New("the camera is connected but has sent no picture yet, which can take 1 to 60 s: " +
		"if it takes longer, restart the camera")
	errNoKeyframe = errors.New("waiting for the camera's next keyframe")
	errLost       = errors.New("packets from the camera were lost: waiting for its next keyframe")
	errNoSets     = errors.New("the camera's pictures lack their parameter sets (SPS and PPS): " +
		"restart the camera")
)

// reading is one run of the source.
type reading struct {
	feed   *Feed
	base   time.Duration // the feed's PTS of its first access unit
	wary   bool          // the stream had B-frames when it was last read
	cancel context.CancelCauseFunc

	mu        sync.Mutex // guards all below
	sets      parameterSets
	inspector Inspector
	pictures  int
	held      []AccessUnit // those on probation
	cleared   bool         // probation is over
	live      bool
	failed    bool
	last      clock.Moment // when something last arrived
	gap       bool         // something is missing: drop pictures up to the next keyframe
	dropped   int          // pictures in a row
	bare      bool         // a keyframe had no parameter sets
	key       clock.Moment // when the last keyframe was captured

	explainTimer   *time.Timer
	firstHoldTimer *time.Timer
}

func newReading(f *Feed, base time.Duration) *reading {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &reading{feed: f, base: base, wary: f.bad}
}

func (r *reading) run(ctx context.Context) error {
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	stall := time.AfterFunc(r.feed.options.Stall, func() { r.cancel(ErrStalled) })
	defer stall.Stop()
	r.mu.Lock()
	r.explainTimer = time.AfterFunc(explainAfter, r.explain)
	r.firstHoldTimer = time.AfterFunc(time.Hour, r.endFirstHold)
	r.firstHoldTimer.Stop()
	r.mu.Unlock()

	err := r.feed.source.Run(ctx, func(unit AccessUnit) {
		stall.Reset(r.feed.options.Stall)
		r.receive(unit)
	})

	r.mu.Lock()
	defer r.mu.Unlock()
	r.explainTimer.Stop()
	r.firstHoldTimer.Stop()
	if cause := context.Cause(ctx); cause != nil {
		r.failed = true
		return cause
	}

	r.broadcastHeld() // a short input has ended on probation
	r.failed = true
	return err
}

// receive handles an access unit from the source.
func (r *reading) receive(unit AccessUnit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed {
		return
	}
	if r.wasSilent() {
		r.fail(ErrStalled)
		return
	}

	r.last = unit.Captured
	r.feed.noteAlive(unit.Captured)
	if len(unit.Data) == 0 {
		return
	}

	parsed := unit.parse()
	picture, key, err := r.inspector.inspect(parsed)
	if err != nil {
		r.fail(err)
		return
	}
	parsed, decodable := r.sets.complete(parsed, key)
	if !picture {
		return
	}

	if unit.Gap && r.pictures > 0 {
		r.gap = true
	}
	if !decodable || !key && (r.pictures == 0 || r.gap) {
		r.drop(key)
		return
	}

	if key {
		r.keyframe(unit.Captured)
	}
	r.pictures++
	unit.Data, unit.parsed = parsed.data, parsed
	unit.Keyframe, unit.PTS = key, unit.PTS+r.base
	r.held = append(r.held, unit)
	r.judge(key)
}

// wasSilent reports whether nothing has arrived for so long that new data may have waited in a pipe or a socket: this
// process was stopped, or the machine slept, and the stall timer with it.
func (r *reading) wasSilent() bool { return !r.last.IsZero() && r.last.Age() > r.feed.options.Stall }

// fail ends the reading. The access units that it holds are not shown.
func (r *reading) fail(err error) {
	r.failed, r.held = true, nil
	r.cancel(err)
}

// judge broadcasts the held access units unless the stream may have B-frames, which follow right after its second
// picture.
func (r *reading) judge(key bool) {
	doubtful, known := r.inspector.Doubtful()
	harmless := known && !doubtful || key && r.pictures > 1
	if !r.inspector.CanReorder() || r.pictures >= probation || harmless && !r.wary {
		r.cleared = true
	}

	switch {
	case r.cleared:
		r.broadcastHeld()
	case r.pictures == 1 && !r.wary:
		r.firstHoldTimer.Reset(firstHold)
	}
}

// endFirstHold broadcasts the first picture alone if the second is slow to arrive.
func (r *reading) endFirstHold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.failed && r.pictures == 1 {
		r.broadcastHeld()
	}
}

// broadcastHeld broadcasts the held access units. mu must be held.
func (r *reading) broadcastHeld() {
	for _, unit := range r.held {
		if !r.live {
			r.live = true
			r.feed.change(func(s *State) { s.Live, s.Seen, s.Err = true, true, nil })
		}
		r.feed.Send(unit)
	}
	r.held = nil
}

// keyframe notes that decoding can start here. It also notes how long ago the previous keyframe was, unless one in
// between may have been lost, or this one came because it was requested. mu must be held.
func (r *reading) keyframe(captured clock.Moment) {
	r.feed.mu.Lock()
	r.feed.idr, r.feed.since = r.inspector.idr, time.Now()
	if !r.key.IsZero() && !r.gap && r.dropped == 0 {
		r.feed.period = captured.Sub(r.key)
	}
	r.feed.mu.Unlock()

	r.key, r.bare, r.gap = captured, false, false
	if r.dropped > 0 {
		r.feed.options.Log.Info("the picture goes on at a keyframe", "dropped", r.dropped)
		r.dropped = 0
	}

	if r.live {
		r.feed.change(func(s *State) { s.Live, s.Err = true, nil })
	}
}

// drop counts a picture that cannot be shown, and requests a keyframe. mu must be held.
func (r *reading) drop(key bool) {
	r.bare = r.bare || key
	r.feed.mu.Lock()
	r.feed.state.Dropped++
	if r.dropped == 0 && r.key.IsZero() {
		r.feed.since = time.Now()
	}
	r.feed.mu.Unlock()

	if r.dropped++; r.dropped == 1 {
		r.requestKeyframe()
		r.explainTimer.Reset(explainAfter)
	}
}

func (r *reading) requestKeyframe() {
	if source, ok := r.feed.source.(keyframer); ok {
		source.RequestKeyframe()
	}
}

// explain has the State say why there is no picture, as long as there is none.
func (r *reading) explain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var why error
	switch {
	case r.failed, r.pictures > 0 && !r.gap:
		return
	case r.gap:
		why = r.feed.awaitKeyframe(errLost)
	case r.bare:
		why = errNoSets
	case r.dropped > 0:
		why = r.feed.awaitKeyframe(errNoKeyframe)
	case !r.last.IsZero():
		why = errNotSent
	}

	if why != nil {
		r.feed.change(func(s *State) { s.Live, s.Err = false, why })
	}
	if r.dropped > 0 {
		r.requestKeyframe()
	}
	r.explainTimer.Reset(explainEvery)
}

// awaitKeyframe adds how long the wait can take to why, an error that says that a keyframe is awaited.
func (f *Feed) awaitKeyframe(why error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Errorf("%w%s", why, f.keyframeWait())
}
