package netlimit

import (
	"errors"
	"math"
)

// Reasons to refuse an amount.
var (
	// ErrShare is returned when a payer, or a network around it, already holds its share.
	ErrShare = errors.New("this address or payer has its share")

	// ErrFull is returned when less than the amount is left for anybody.
	ErrFull = errors.New("nothing is left")
)

// ledger counts what payers hold. It has no lock: its owner's mutex must be held.
//
// Amounts are float64 so that those of a Rate can fade. Instead of reducing every amount as time passes, a Rate raises
// the scale in which new amounts are counted (Cormode and others: "Forward Decay", 2009). In a Pool the scale stays 1,
// and amounts are whole numbers below 2^53, which float64 adds exactly.
type ledger struct {
	size   float64
	scale  float64 // what an amount of 1 counts as now
	shares [kinds]Share
	places int // the most nodes there may be

	nodes  map[key]*node
	ring   []*node // the same nodes, in the order in which sweep visits them
	hand   int     // index in ring of the next node to visit
	others node    // for payers that have no node of their own; never in nodes
	used   float64
}

// node is what one payer holds at one level.
type node struct {
	key    key
	held   float64
	queued float64 // amounts that wait to be counted here, unscaled
	leases int     // open enter calls; the node is kept until they are 0
	inside int     // nodes whose coarsest network this is
	within *node   // the coarsest network around this one; nil: this is it
	place  int     // index in ring
}

// path is where an amount is counted, the coarsest level first. A level without a node is nil.
type path [levels]*node

// queued returns the largest amount that waits at any level.
func (p path) queued() (amount float64) {
	for _, n := range p {
		if n != nil {
			amount = max(amount, n.queued)
		}
	}
	return amount
}

// enqueue adds an amount that waits, or removes it if negative.
func (p path) enqueue(amount float64) {
	for _, n := range p {
		if n != nil {
			n.queued += amount
		}
	}
}

func newLedger(cfg Config) ledger {
	cfg = cfg.withDefaults()
	return ledger{
		size:   float64(cfg.Size),
		scale:  1,
		shares: cfg.shares(),
		places: cfg.Payers,
		nodes:  make(map[key]*node),
		others: node{key: key{kind: kindOthers}},
	}
}

// enter returns where a payer's amounts are counted. It adds missing nodes while there is room. The caller must call
// leave.
func (l *ledger) enter(p Payer) (at path) {
	keys := p.path()
	for i := range keys {
		at[i] = l.node(keys[len(keys)-1-i], at[0])
		if i == 0 && at[0] == nil {
			at[0] = &l.others
			break
		}
	}

	for _, n := range at {
		if n != nil {
			n.leases++
		}
	}

	return at
}

// node returns the node of a key, and adds it if it is missing; it returns nil if there is no room. coarsest is the
// payer's coarsest node, or nil when that is the node wanted.
func (l *ledger) node(k key, coarsest *node) *node {
	if n := l.nodes[k]; n != nil {
		return n
	}
	if len(l.nodes) >= l.places || coarsest != nil && coarsest.inside >= max(l.places/crowd, 1) {
		return nil
	}

	n := &node{key: k, within: coarsest, place: len(l.ring)}
	l.nodes[k] = n
	l.ring = append(l.ring, n)
	if coarsest != nil {
		coarsest.inside++
	}

	return n
}

// leave ends an enter, and drops the nodes that hold nothing.
func (l *ledger) leave(at path) {
	for i := levels - 1; i >= 0; i-- { // the finest first: it keeps the coarser one
		if n := at[i]; n != nil {
			n.leases--
			l.forget(n)
		}
	}
}

// forget drops a node that holds nothing, and reports whether it did.
func (l *ledger) forget(n *node) bool {
	if n.leases > 0 || n.inside > 0 || n.held > 0 || n == &l.others {
		return false
	}

	delete(l.nodes, n.key)
	last := l.ring[len(l.ring)-1]
	l.ring[n.place], last.place = last, n.place
	l.ring[len(l.ring)-1] = nil
	l.ring = l.ring[:len(l.ring)-1]

	if n.within != nil {
		n.within.inside--
	}
	return true
}

// add counts an amount, or returns which bound it exceeds. An amount of 0 is always accepted, even where the threshold
// has fallen below what is held.
func (l *ledger) add(at path, amount float64) error {
	if amount == 0 {
		return nil
	}
	amount *= l.scale
	free := l.size*l.scale - l.used - amount
	if free < 0 {
		return ErrFull
	}

	for _, n := range at {
		if n != nil && n.held+amount > l.threshold(n, free) {
			return ErrShare
		}
	}

	l.count(at, amount)
	return nil
}

// remove uncounts an amount that is given back.
func (l *ledger) remove(at path, amount float64) {
	l.count(at, -amount*l.scale)
}

// threshold returns what a node may hold when free is left. Both are scaled.
func (l *ledger) threshold(n *node, free float64) float64 {
	return l.shares[n.key.kind].threshold(l.size, free/l.scale) * l.scale
}

func (l *ledger) count(at path, scaled float64) {
	l.used += scaled
	for _, n := range at {
		if n != nil {
			n.held += scaled
		}
	}
}

// rounding is a margin for scaleFor, so that the last bit of a float64 does not refuse what Delay has promised.
const rounding = 1e-9

// scaleFor returns the scale at which what is held has faded enough for add to accept an amount, if nothing else is
// added before. It is infinite if the amount is never possible.
func (l *ledger) scaleFor(at path, amount float64) float64 {
	if amount == 0 {
		return l.scale
	}

	need := max(l.scale, quotient(l.used, l.size-amount))
	for _, n := range at {
		if n == nil {
			continue
		}
		share := l.shares[n.key.kind]
		under := min(l.scaleUnder(share.Free, n.held, amount), quotient(n.held, float64(share.Min)-amount))
		need = max(need, under)
		if share.Max > 0 {
			need = max(need, quotient(n.held, float64(share.Max)-amount))
		}
	}

	if need > l.scale {
		need *= 1 + rounding
	}
	return need
}

// scaleUnder returns the scale x at which held + amount·x reaches the threshold multiple·((size-amount)·x - used)²
// / (size·x). It is the greater root of a quadratic equation; below the lesser root, more than size would be in use.
func (l *ledger) scaleUnder(multiple, held, amount float64) float64 {
	left := l.size - amount
	a := multiple*left*left - l.size*amount
	b := 2*multiple*left*l.used + l.size*held
	c := multiple * l.used * l.used
	return quotient(b+math.Sqrt(max(b*b-4*a*c, 0)), 2*a)
}

// quotient returns held/room, which is infinite if there is no room.
func quotient(held, room float64) float64 {
	if room < 0 {
		return math.Inf(1)
	}
	if held == 0 {
		return 0
	}
	return held / room
}

// rescale brings the scale back to 1, and adjusts all amounts to it.
func (l *ledger) rescale() {
	for _, n := range l.nodes {
		n.held /= l.scale
	}
	l.others.held /= l.scale
	l.used /= l.scale
	l.scale = 1
}
