package netlimit

import (
	"errors"
	"sync"
)

// ErrReleased is returned by Grow on a lease that was released.
var ErrReleased = errors.New("the lease was released")

// Pool is a bounded amount that payers hold parts of until they give them back.
type Pool struct {
	mu     sync.Mutex
	ledger ledger // guarded by mu
}

// NewPool returns a pool that is all free.
func NewPool(cfg Config) *Pool {
	return &Pool{ledger: newLedger(cfg)}
}

// Lease is a part of a pool, charged to one payer. Its holder must release it.
type Lease struct {
	pool     *Pool
	at       path
	held     int64 // guarded by pool.mu
	released bool  // guarded by pool.mu
}

// Acquire charges n to a payer, or returns ErrShare or ErrFull if the payer may not hold that much more. The lease can
// grow and shrink; n may be 0, which is never refused.
func (p *Pool) Acquire(who Payer, n int64) (*Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	at := p.ledger.enter(who)
	if err := p.ledger.add(at, float64(max(n, 0))); err != nil {
		p.ledger.leave(at)
		return nil, err
	}
	return &Lease{pool: p, at: at, held: max(n, 0)}, nil
}

// Grow adds n to the lease, if it is positive, or returns ErrShare, ErrFull or ErrReleased and changes nothing.
func (l *Lease) Grow(n int64) error {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()

	if l.released {
		return ErrReleased
	}
	n = max(n, 0)
	if err := l.pool.ledger.add(l.at, float64(n)); err != nil {
		return err
	}
	l.held += n

	return nil
}

// Shrink gives n back, but never more than the lease holds.
func (l *Lease) Shrink(n int64) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()

	l.shrink(n)
}

func (l *Lease) shrink(n int64) {
	n = min(max(n, 0), l.held)
	l.held -= n
	l.pool.ledger.remove(l.at, float64(n))
}

// Release gives everything back. Further calls do nothing.
func (l *Lease) Release() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()

	if l.released {
		return
	}
	l.shrink(l.held)
	l.released = true
	l.pool.ledger.leave(l.at)
}

// Held returns what the lease holds.
func (l *Lease) Held() int64 {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()

	return l.held
}

// Used returns how much of the pool is held.
func (p *Pool) Used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()

	return int64(p.ledger.used)
}

// Payers returns how many payers are counted separately at present, at all levels together.
func (p *Pool) Payers() int {
	p.mu.Lock()
	defer p.mu.Unlock()

	return len(p.ledger.nodes)
}
