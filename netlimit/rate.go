package netlimit

import (
	"context"
	"math"
	"sync"
	"time"
)

// Rate is an amount that payers use up and that comes back with time: a charge fades to 1/e of itself in one window. A
// payer whose share is an amount can therefore use that much at once, and from then on the amount divided by the
// window.
type Rate struct {
	window float64 // seconds

	mu     sync.Mutex
	ledger ledger    // guarded by mu
	now    time.Time // guarded by mu; the time to which the ledger's scale belongs
}

const (
	// trace is the amount below which a payer is forgotten: too little to be worth a place.
	trace = 1. / 16

	// sweepEach is how many payers each Charge visits in order to forget those that have faded. A Charge adds at most
	// three, so their number falls.
	sweepEach = 2 * levels

	// minPause keeps those who wait from retrying in a tight loop when others were faster.
	minPause = time.Millisecond

	// maxScale is the scale at which all amounts are scaled down: after some twenty windows.
	maxScale = 1 << 30
)

// NewRate returns an unused rate. A window that is not positive is taken as one second.
func NewRate(cfg Config, window time.Duration) *Rate {
	if window <= 0 {
		window = time.Second
	}
	return &Rate{window: window.Seconds(), ledger: newLedger(cfg)}
}

// Charge charges n to a payer, or returns ErrShare or ErrFull if the payer may not use that much more now. A time
// before that of the last call is taken as the latter.
func (r *Rate) Charge(who Payer, n int64, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.advance(now)
	r.sweep()

	at := r.ledger.enter(who)
	defer r.ledger.leave(at)
	return r.ledger.add(at, float64(max(n, 0)))
}

// Delay returns how long a payer has to wait before Charge accepts n, if nobody is charged meanwhile: 0 if it would
// now, and the longest Duration if it never will.
func (r *Rate) Delay(who Payer, n int64, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.advance(now)
	at := r.ledger.enter(who)
	defer r.ledger.leave(at)
	return r.delay(at, float64(max(n, 0)))
}

func (r *Rate) delay(at path, amount float64) time.Duration {
	seconds := math.Log(r.ledger.scaleFor(at, amount)/r.ledger.scale) * r.window
	if seconds >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(math.Ceil(seconds * float64(time.Second)))
}

// Wait charges n to a payer as soon as possible, and reports whether it had to wait. Calls for one payer wait for their
// turn one behind the other, and do not slow other payers. Wait returns ErrShare if the payer may never use that much,
// and ctx's error if ctx ends first.
func (r *Rate) Wait(ctx context.Context, who Payer, n int64) (waited bool, err error) {
	for amount := float64(max(n, 0)); ; waited = true {
		pause, leave, err := r.queue(who, amount)
		if leave == nil {
			return waited, err
		}

		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}

		timer.Stop()
		leave()
		if err != nil {
			return true, err
		}
	}
}

// queue charges an amount if the payer may use it now; leave is nil then. Otherwise it queues the amount behind all
// others of the same payer and returns how long to wait; the caller must call leave.
func (r *Rate) queue(who Payer, amount float64) (pause time.Duration, leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.advance(time.Now())
	r.sweep()
	at := r.ledger.enter(who)
	if r.ledger.add(at, amount) == nil {
		r.ledger.leave(at)
		return 0, nil, nil
	}
	if r.delay(at, amount) == math.MaxInt64 {
		r.ledger.leave(at)
		return 0, nil, ErrShare
	}

	// More may be queued already than can ever be charged at once. In that case look again after a window.
	pause = min(r.delay(at, amount+at.queued()), time.Duration(r.window*float64(time.Second)))
	at.enqueue(amount)
	return max(pause, minPause), func() {
		r.mu.Lock()
		defer r.mu.Unlock()

		at.enqueue(-amount)
		r.ledger.leave(at)
	}, nil
}

// advance lets all charges fade until now.
func (r *Rate) advance(now time.Time) {
	if r.now.IsZero() {
		r.now = now
	}
	passed := now.Sub(r.now).Seconds() / r.window
	if passed <= 0 {
		return
	}

	r.now = now
	r.ledger.scale *= math.Exp(passed)
	if r.ledger.scale > maxScale {
		r.ledger.rescale()
	}
}

// sweep forgets some of the payers whose charges have faded.
func (r *Rate) sweep() {
	l := &r.ledger
	for range min(sweepEach, len(l.ring)) {
		l.hand %= len(l.ring) // each visit forgets one at most, so one is left
		n := l.ring[l.hand]
		if n.held < trace*l.scale && n.leases == 0 && n.inside == 0 {
			n.held = 0
		}
		if !l.forget(n) {
			l.hand++
		}
	}
}
