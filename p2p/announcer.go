package p2p

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/peephole-cam/peephole/nat/netwatch"
)

const (
	// repeatAfter is when an announcement is repeated, in case the first one was lost (RFC 6762, section 8.3).
	repeatAfter = time.Second

	// lookAgain is how often a machine is asked whether its links have changed in a way that netwatch does not tell:
	// one that has no network when it starts gets its first one.
	lookAgain, lookAgainAlone = time.Minute, time.Second

	// answerBurst is how many answers a link gets at once; after that, it gets one a second (RFC 6762, section 6). The
	// burst is for viewers that come at the same time.
	answerBurst = 8

	// maxAnnounced bounds the addresses of one link that are announced, so that the message fits a packet.
	maxAnnounced = 16
)

// announcer announces a host key on every link, and answers who asks.
type announcer struct {
	label string
	port  uint16
	log   *slog.Logger
}

// run announces until ctx ends, and takes the announcement back then. Whenever the links change, it begins anew.
func (a *announcer) run(ctx context.Context) {
	changes := netwatch.Changes(ctx)
	for ctx.Err() == nil {
		m, err := openMulticast(ctx)
		if err == nil {
			err = a.serve(ctx, m, changes)
		}
		if err != nil {
			a.log.Debug("cannot announce on the LAN now", "error", err)
			wait(ctx, changes, lookAgainAlone)
		}
	}
}

// serve announces on some links until they change or ctx ends. It returns an error if something stopped working.
func (a *announcer) serve(ctx context.Context, m *multicast, changes <-chan struct{}) error {
	defer m.close()
	r := newResponder(a, m)
	defer r.stop()
	m.receive(r.question)
	a.announce(m, recordLife)
	again := time.AfterFunc(repeatAfter, func() { a.announce(m, recordLife) })
	defer again.Stop()

	for {
		changed := wait(m.works, changes, lookAgain)
		if ctx.Err() != nil {
			a.announce(m, 0)
			return nil
		}
		if m.works.Err() != nil {
			return errBroken
		}
		if now, err := multicastLinks(); changed || err != nil || !sameLinks(now, m.links) {
			return err
		}
	}
}

// announce sends the announcement on all links.
func (a *announcer) announce(m *multicast, life uint32) {
	for _, l := range m.links {
		if err := a.send(m, l, life); err != nil {
			a.log.Debug("cannot announce on the LAN", "error", err)
		}
	}
}

func (a *announcer) send(m *multicast, on link, life uint32) error {
	addresses := on.addresses[:min(len(on.addresses), maxAnnounced)]
	message, err := announcement{a.label, a.port, addresses}.message(life)
	if err != nil {
		return fmt.Errorf("announce on %s: %w", on.device.Name, err)
	}
	return m.send(on, message)
}

// wait waits for a change, for some time or for the end of ctx, and reports whether it was a change.
func wait(ctx context.Context, changes <-chan struct{}, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-changes:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	return false
}

func sameLinks(a, b []link) bool {
	return slices.EqualFunc(a, b, func(a, b link) bool {
		return a.device.Index == b.device.Index && slices.Equal(a.addresses, b.addresses)
	})
}

// responder answers questions, as often as each link allows. A question that must wait is answered once, with all
// others that wait.
type responder struct {
	announcer *announcer
	multicast *multicast

	mu      sync.Mutex
	ended   bool                  // guarded by mu
	rates   map[int]*rate.Limiter // by the interface's index; never changes
	waiting map[int]*time.Timer   // guarded by mu
}

func newResponder(a *announcer, m *multicast) *responder {
	r := &responder{
		announcer: a,
		multicast: m,
		rates:     make(map[int]*rate.Limiter),
		waiting:   make(map[int]*time.Timer),
	}
	for _, l := range m.links {
		r.rates[l.device.Index] = rate.NewLimiter(1, answerBurst)
	}
	return r
}

// question answers a message that asks for the camera.
func (r *responder) question(got received) {
	if !asks(got.message, r.announcer.label) {
		return
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	on := got.link.device.Index
	if r.ended || r.waiting[on] != nil {
		return
	}
	r.waiting[on] = time.AfterFunc(r.rates[on].Reserve().Delay(), func() {
		r.mu.Lock()
		delete(r.waiting, on)
		ended := r.ended
		r.mu.Unlock()
		if ended {
			return
		}
		if err := r.announcer.send(r.multicast, got.link, recordLife); err != nil {
			r.announcer.log.Debug("cannot answer on the LAN", "error", err)
		}
	})
}

func (r *responder) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for _, t := range r.waiting {
		t.Stop()
	}
}
