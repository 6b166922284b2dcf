package evilcloud

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/peephole-cam/peephole/signaling"
)

// on forwards a frame unchanged.
func (l *Line) on(f signaling.Frame, fromRelay bool) Said { return Said{l, fromRelay, f} }

// SwapSessions exchanges two clients: what one sends goes to the relay on the other's connection, and it gets the
// answers that come back there.
func SwapSessions(l *Line, f signaling.Frame, fromRelay bool) []Said {
	return []Said{{l.swapped(), fromRelay, f}}
}

// SwapRequests forwards what one client sends as if the other had sent it; the answers go to the other.
func SwapRequests(l *Line, f signaling.Frame, fromRelay bool) []Said {
	if fromRelay {
		return []Said{l.on(f, true)}
	}
	return []Said{{l.swapped(), false, f}}
}

// Reflected delivers to every client its own posts, in each mailbox that it reads, before it forwards them.
func Reflected(l *Line, f signaling.Frame, fromRelay bool) []Said {
	said := []Said{l.on(f, fromRelay)}
	if post, ok := f.(signaling.Post); ok && !fromRelay {
		for _, name := range l.Reads() {
			said = append([]Said{{l, true, signaling.Deliver{
				Name: name,
				Seq:  rand.Uint64(),
				Body: post.Body,
			}}}, said...)
		}
	}

	return said
}

// CachedGrants answers a request for ICE servers with another client's grant. If none is cached, it asks the relay.
func CachedGrants(l *Line, f signaling.Frame, fromRelay bool) []Said {
	if ask, ok := f.(signaling.GrantRequest); ok && !fromRelay {
		if json := l.cached((*Line).granted); json != nil {
			return []Said{{l, true, signaling.Granted{ID: ask.ID, JSON: json}}}
		}
	}
	return []Said{l.on(f, fromRelay)}
}

// CachedAnswers answers every post with an OK kept from another post, and posts nothing.
func CachedAnswers(l *Line, f signaling.Frame, fromRelay bool) []Said {
	if post, ok := f.(signaling.Post); ok && !fromRelay {
		return []Said{{l, true, signaling.OK{ID: post.ID}}}
	}
	return []Said{l.on(f, fromRelay)}
}

// CachedDeliveries delivers to every client what was last delivered to somebody else: at once when it opens a mailbox,
// and again in place of anything that is delivered to it.
func CachedDeliveries(l *Line, f signaling.Frame, fromRelay bool) []Said {
	switch f := f.(type) {
	case signaling.Open:
		if body := l.cached((*Line).delivered); body != nil && f.Access == signaling.Read {
			return []Said{l.on(f, false), {l, true, signaling.Deliver{
				Name: signaling.NameOf(f.ReadKey, f.WriteKey),
				Seq:  rand.Uint64(),
				Body: body,
			}}}
		}
	case signaling.Deliver:
		if body := l.cached((*Line).delivered); body != nil {
			return []Said{{l, true, signaling.Deliver{Name: f.Name, Seq: f.Seq, Body: body}}}
		}
	}
	return []Said{l.on(f, fromRelay)}
}

func (l *Line) granted() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered
}

func (l *Line) delivered() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got
}

const (
	day     = 24 * 60 * 60 * 1000 // in the milliseconds of a challenge
	oldKept = 256
)

// AnotherDay tells every second client that connects that it is tomorrow, so that two ends disagree about the day.
// Before each new message, it delivers old ones: those that were recorded for that mailbox, or else some that were
// recorded for others. Set it early: it is harmless until Ripen.
type AnotherDay struct {
	mu   sync.Mutex
	ripe bool                // guarded by mu
	odd  bool                // guarded by mu
	old  []signaling.Deliver // guarded by mu
}

// Ripen begins to play what was recorded.
func (a *AnotherDay) Ripen() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ripe = true
}

// Frames is the fault.
func (a *AnotherDay) Frames(l *Line, f signaling.Frame, fromRelay bool) []Said {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := []Said{l.on(f, fromRelay)}
	switch f := f.(type) {
	case signaling.Challenge:
		if a.odd = !a.odd; a.ripe && a.odd {
			f.Time += day
			return []Said{l.on(f, true)}
		}
	case signaling.Deliver:
		if !a.ripe {
			a.old = append(a.old, signaling.Deliver{Name: f.Name, Seq: f.Seq, Body: slices.Clone(f.Body)})
			a.old = a.old[max(0, len(a.old)-oldKept):]
			break
		}
		for _, old := range a.some(f.Name) {
			said = append([]Said{{l, true, signaling.Deliver{
				Name: f.Name,
				Seq:  rand.Uint64(),
				Body: old.Body,
			}}}, said...)
		}
	}

	return said
}

// some returns what was recorded for a mailbox, or else a little of the rest. a.mu must be held.
func (a *AnotherDay) some(name signaling.Name) (some []signaling.Deliver) {
	for _, old := range a.old {
		if old.Name == name && len(some) < 3 {
			some = append(some, old)
		}
	}

	if len(some) == 0 && len(a.old) > 0 {
		some = []signaling.Deliver{a.old[rand.IntN(len(a.old))], a.old[rand.IntN(len(a.old))]}
	}
	return some
}
