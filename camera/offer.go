package camera

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// offer is a viewer's offer that has opened.
type offer struct {
	place uint64 // among the viewer's offers, in the order in which they arrived
	sent  time.Time
	dated bool             // the clocks of both ends agree, so that the date proves that the offer is new
	route *signaling.Route // the carriers that have brought it
}

// serving is one session under way.
type serving struct {
	place  uint64 // its offer's
	cancel context.CancelFunc
	live   bool // guarded by viewer.mu
}

// deliver opens an envelope and starts the session that it asks for. An envelope that does not open is counted,
// reported and dropped. Several carriers may deliver at once, and copies of one envelope: they start nothing, but their
// carrier is one more by which the session's messages go.
func (v *viewer) deliver(ctx context.Context, box envelope.Mailbox, d signaling.Delivery) {
	opened, o, err := v.openOffer(box, d)
	switch {
	case envelope.Foreign(err): // a replay is not foreign: it opens, and is the viewer's own
		d.Reject()
		v.camera.alarm.raise(Rejection{What: "envelope", Err: err})
		return
	case err != nil:
		v.camera.cfg.Logger.Debug("envelope rejected", "err", err)
		return
	case opened.Type != envelope.TypeOffer:
		return
	}

	cfg := v.sessionConfig(opened, d.Body, o.route)
	v.camera.work.Go(func() { v.serve(ctx, cfg, o) })
}

// openOffer opens an envelope, each once. o counts only if it is an offer.
func (v *viewer) openOffer(box envelope.Mailbox, d signaling.Delivery) (opened envelope.Opened, o offer, err error) {
	wire := d.Body
	if err := v.record.Pair.Addressed(box, wire); err != nil {
		return opened, o, err
	}

	v.arriving.Lock()
	defer v.arriving.Unlock()
	if route := v.copies.route(wire); route != nil {
		route.Join(d.Carrier)
		return opened, o, envelope.ErrReplayed
	}
	if !v.allowance.spend(v.camera.cfg.Logger, v.name()) {
		return opened, o, envelope.ErrTooMany
	}

	now := v.camera.clock.Now()
	opened, err = v.record.Pair.Open(box, wire, now)
	var expired *envelope.ExpiredError
	if errors.As(err, &expired) {
		opened, err = expired.Opened, nil
	}
	if err != nil {
		return envelope.Opened{}, o, err
	}

	if err := v.replays.Accept(opened, now); err != nil {
		return envelope.Opened{}, o, err
	}
	o.route = v.camera.signal.Only(d.Carrier)
	v.copies.add(wire, o.route)
	if opened.Type == envelope.TypeOffer {
		v.offers++
	}
	dated := expired == nil && v.camera.clock.Agrees(opened.Sent)
	return opened, offer{place: v.offers, sent: opened.Sent, dated: dated, route: o.route}, nil
}

// sessionConfig returns what the session of an offer needs. wire is the offer as it arrived, by route.
func (v *viewer) sessionConfig(o envelope.Opened, wire []byte, route *signaling.Route) session.CameraConfig {
	c := v.camera
	credentials := c.credentials.Load()
	log := c.cfg.Logger.With("viewer", v.name())
	said := make(map[string]bool) // there are few sentences, and a path that goes to and fro must not fill the log

	cfg := session.CameraConfig{
		Pair:       v.record.Pair,
		Signal:     route,
		Ticket:     credentials.ticket,
		Offer:      o,
		OfferWire:  wire,
		Name:       c.cfg.Name,
		Stream:     c.cfg.Stream,
		Low:        c.cfg.Low,
		TLS:        credentials.trust,
		RelayOnly:  c.cfg.RelayOnly,
		Loopback:   relayurl.Loopback(c.cfg.RelayURL),
		Logger:     c.cfg.Logger,
		Now:        c.clock.Now,
		PortMapper: c.cfg.PortMapper,
		Offered:    c.offered,
		Busy:       c.sendsPicture,
		OnStall:    c.relays.probe,
		RelayList:  c.relays.listFor,
		OnReject:   c.alarm.raise,
		OnPath: func(p session.Path) {
			if !said[p.Why] {
				log.Info("path", "rung", p.Type(), "why", p.Why)
			}
			said[p.Why] = true
		},
	}

	if c.without != nil {
		cfg.SeenAs = c.without.seenAs()
	}
	if c.hosts != nil {
		cfg.HostList = func(held []byte) *session.HostList {
			return c.hosts.listFor(v.record.Pair.Peer.Fingerprint(), held, v.removed, c.clock.Now())
		}
	}
	return cfg
}

// serve runs the session of an offer, or refuses it.
func (v *viewer) serve(ctx context.Context, cfg session.CameraConfig, o offer) {
	log := v.camera.cfg.Logger.With("viewer", v.name())
	refuse := func(code, text string) { v.refuse(ctx, cfg, session.Refusal{Code: code, Text: text}) }
	one := &serving{place: o.place}
	ctx, one.cancel = context.WithCancel(ctx)
	defer one.cancel()

	var id session.WatchID
	leaveAudience := func() {}
	defer func() { leaveAudience() }()
	cfg.OnLive = func() {
		v.markLive(id, one)
		leaveAudience = v.camera.joinAudience()
	}
	s, err := session.NewCamera(cfg)
	if err != nil {
		log.Info("session refused", "err", err)
		refuse("refused", "The camera could not start a session: "+err.Error()+".")
		return
	}

	if why := v.doubtFreshness(o, s.Nonce()); why != nil {
		v.refuse(ctx, cfg, *why)
		return
	}

	release, why := v.admit(ctx, s.Bulk())
	if why != nil {
		v.refuse(ctx, cfg, *why)
		return
	}
	defer release()

	id = s.Watch()
	leave, ok := v.join(id, one)
	if !ok {
		log.Debug("the viewer has offered another session since")
		return
	}
	defer leave()

	log.Info("session begins")
	err = s.Run(ctx)
	if errors.Is(err, session.ErrOffer) {
		refuse("refused", "The camera could not understand this viewer. Update both.")
	}
	log.Info("session ends", "err", err)
}

// joinAudience counts a session to which the picture goes, until leave is called.
func (c *Camera) joinAudience() (leave func()) {
	c.audience.Add(1)
	return func() { c.audience.Add(-1) }
}

// sendsPicture reports whether the picture goes to anybody now.
func (c *Camera) sendsPicture() bool { return c.audience.Load() > 0 }

// refuse tells the viewer why its offer starts no session.
func (v *viewer) refuse(ctx context.Context, cfg session.CameraConfig, why session.Refusal) {
	if err := session.Refuse(ctx, cfg, why); err != nil && ctx.Err() == nil {
		v.camera.cfg.Logger.Debug("refuse session", "viewer", v.name(), "err", err)
	}
}

// roomWait is how long an offer waits for another session to be gone: closing a connection whose other end has left
// takes a few tenths of a second.
const roomWait = time.Second

// admit makes room for one more session of this viewer, or says why there is none. fetches: it is a bulk session.
func (v *viewer) admit(ctx context.Context, fetches bool) (release func(), why *session.Refusal) {
	leave, ok := acquireRoom(ctx, v.sessions)
	if !ok {
		return nil, &session.Refusal{
			Code: "busy",
			Text: "This camera is being watched from too many places. Close one and try again.",
		}
	}
	if !fetches {
		return leave, nil
	}

	stop, ok := acquireRoom(ctx, v.fetches)
	if !ok {
		leave()
		return nil, &session.Refusal{
			Code: "busy",
			Text: "You are fetching too many things from this camera. Wait for one of them and try again.",
		}
	}
	return func() { stop(); leave() }, nil
}

// acquireRoom reserves room for one more session among those of this viewer, if there is some within roomWait.
func acquireRoom(ctx context.Context, among chan struct{}) (release func(), ok bool) {
	release = func() { <-among }
	select {
	case among <- struct{}{}:
		return release, true
	default:
	}

	timer := time.NewTimer(roomWait)
	defer timer.Stop()
	select {
	case among <- struct{}{}:
		return release, true
	case <-timer.C:
	case <-ctx.Done():
	}

	return nil, false
}

// join adds a session to those of its watching, unless a later offer of the same watching has joined already: offers
// that waited in a mailbox arrive together, and each is served by a goroutine of its own.
//
// join ends the earlier sessions that never became live. markLive ends all of them: the person has moved on, and what
// was left behind would be fed until it fails.
func (v *viewer) join(id session.WatchID, s *serving) (leave func(), ok bool) {
	if id == (session.WatchID{}) {
		return func() {}, true
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.ContainsFunc(v.watches[id], func(o *serving) bool { return o.place > s.place }) {
		return nil, false
	}
	for _, before := range v.watches[id] {
		if !before.live {
			before.cancel()
		}
	}

	if v.watches == nil {
		v.watches = make(map[session.WatchID][]*serving)
	}
	v.watches[id] = append(v.watches[id], s)
	return func() { v.leave(id, s) }, true
}

// leave undoes join.
func (v *viewer) leave(id session.WatchID, s *serving) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watches[id] = slices.DeleteFunc(v.watches[id], func(o *serving) bool { return o == s })
	if len(v.watches[id]) == 0 {
		delete(v.watches, id)
	}
}

// markLive ends the sessions of a watching that began before s.
func (v *viewer) markLive(id session.WatchID, s *serving) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.live = true
	for _, before := range v.watches[id] {
		if before.place < s.place {
			before.cancel()
		}
	}
}
