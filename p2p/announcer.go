package p2p

import (
	"context"
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
		message, err := a.message(l, life)
		if err == nil {
			err = m.sendAll(l, message)
		}
		if err != nil {
			a.log.Debug("cannot announce on the LAN", "error", err)
		}
	}
}

// message returns the announcement for a link.
func (a *announcer) message(on link, life uint32) ([]byte, error) {
	addresses := on.addresses[:min(len(on.addresses), maxAnnounced)]
	return announcement{a.label, a.port, addresses}.message(life)
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

// responder answers questions by the version of IP that they came by, as often as each link allows. A question that
// must wait is answered once, with all others that wait.
type responder struct {
	announcer *announcer
	multicast *multicast

	mu      sync.Mutex
	ended   bool                    // guarded by mu
	rates   map[place]*rate.Limiter // guarded by mu
	waiting map[place]*time.Timer   // guarded by mu
}

// place is where answers are counted: an interface, by its index, and a version of IP.
type place struct {
	device int
	family string
}

func newResponder(a *announcer, m *multicast) *responder {
	return &responder{
		announcer: a,
		multicast: m,
		rates:     make(map[place]*rate.Limiter),
		waiting:   make(map[place]*time.Timer),
	}
}

// question answers a message that asks for the camera.
func (r *responder) question(got received) {
	if !asks(got.message, r.announcer.label) {
		return
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	on := place{got.link.device.Index, got.family()}
	if r.ended || r.waiting[on] != nil {
		return
	}
	if r.rates[on] == nil {
		r.rates[on] = rate.NewLimiter(1, answerBurst)
	}
	r.waiting[on] = time.AfterFunc(r.rates[on].Reserve().Delay(), func() {
		r.mu.Lock()
		delete(r.waiting, on)
		ended := r.ended
		r.mu.Unlock()
		if !ended {
			r.answer(got.link, on.family)
		}
	})
}

func (r *responder) answer(on link, family string) {
	message, err := r.announcer.message(on, recordLife)
	if err == nil {
		err = r.multicast.send(on, family, message)
	}
	if err != nil {
		r.announcer.log.Debug("cannot answer on the LAN", "error", err)
	}
}

func (r *responder) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for _, t := range r.waiting {
		t.Stop()
	}
}
