package camera

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// viewer is one viewer on the roster: its mailboxes and its sessions.
type viewer struct {
	camera   *Camera
	record   pairing.Record
	replays  envelope.Replays
	offers   uint64 // so many have arrived; the delivering goroutine's
	cancel   context.CancelFunc
	sessions chan struct{} // one token a session under way

	mu      sync.Mutex
	watches map[session.WatchID][]*serving // guarded by mu; the sessions of each watching
}

// serving is one session under way.
type serving struct {
	place  uint64 // its offer's among those that arrived
	cancel context.CancelFunc
	live   bool // guarded by viewer.mu
}

// join adds a session to those of its watching, unless a later offer of the same has been there already: offers that waited in a mailbox come together,
// and each is served by a goroutine of its own. One before it that never came to be is ended at once, and all before it when this one
// is live: the person has moved on, and what was left behind would be fed until it fails.
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
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.watches[id] = slices.DeleteFunc(v.watches[id], func(o *serving) bool { return o == s }); len(v.watches[id]) == 0 {
			delete(v.watches, id)
		}
	}, true
}

// live ends the sessions of a watching that began before this one.
func (v *viewer) live(id session.WatchID, s *serving) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.live = true
	for _, before := range v.watches[id] {
		if before.place < s.place {
			before.cancel()
		}
	}
}

// start serves the viewer until ctx ends or stop is called.
func (v *viewer) start(ctx context.Context) {
	ctx, v.cancel = context.WithCancel(ctx)
	v.sessions = make(chan struct{}, sessionsPerViewer)
	v.camera.work.Go(func() { v.run(ctx) })
}

func (v *viewer) stop() {
	if v.cancel != nil {
		v.cancel()
	}
}

// run keeps the mailboxes of yesterday, today and tomorrow open, as days turn, by every clock that may be right. Until the relay is reached for the first time
// nobody knows the day for sure.
func (v *viewer) run(ctx context.Context) {
	open := make(map[uint32]func())
	defer func() {
		for _, stop := range open {
			stop()
		}
	}()
	if v.camera.client.Connect(ctx) != nil {
		return
	}
	ticker := time.NewTicker(rolloverEvery)
	defer ticker.Stop()
	for {
		wanted := make(map[uint32]bool)
		for _, now := range v.camera.clocks() {
			for today, day := v.record.Pair.Day(now), uint32(0); day < 3; day++ {
				wanted[max(today, 1)-1+day] = true
			}
		}
		for day, stop := range open {
			if !wanted[day] {
				stop()
				delete(open, day)
			}
		}
		for day := range wanted {
			if open[day] == nil {
				open[day] = v.open(ctx, day)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// open opens both mailboxes of a day: the viewer holds no ticket, so the camera admits the one to the viewer too.
func (v *viewer) open(ctx context.Context, day uint32) (stop func()) {
	box := v.record.Pair.Mailbox(envelope.ToCamera, day)
	stopReading := v.camera.client.Receive(v.admitted(box), func(d signaling.Delivery) bool {
		v.deliver(ctx, box, d)
		return true
	})
	stopKeeping := v.camera.client.Keep(v.admitted(v.record.Pair.Mailbox(envelope.ToViewer, day)))
	return func() { stopReading(); stopKeeping() }
}

func (v *viewer) admitted(m envelope.Mailbox) signaling.Mailbox {
	return signaling.Mailbox{Read: m.Read, Write: m.Write, Ticket: v.camera.cfg.Ticket}
}

// deliver opens an envelope and starts the session it asks for. What does not open is counted, told and forgotten.
func (v *viewer) deliver(ctx context.Context, box envelope.Mailbox, d signaling.Delivery) {
	log, now, wire := v.camera.cfg.Logger, time.Now(), d.Body
	opened, err := v.record.Pair.Open(box, wire, now)
	if err == nil {
		err = v.replays.Accept(opened, now)
	}
	switch {
	case envelope.Foreign(err): // a copy of what was accepted opens, and is none
		d.Reject()
		v.camera.alarm.reject(session.Rejection{What: "envelope", Err: err})
		return
	case errors.Is(err, envelope.ErrExpired):
		log.Warn("an offer came too late: it was held back, or a clock is wrong; check the clock of this camera and of the viewer")
		return
	case err != nil:
		log.Debug("envelope rejected", "err", err)
		return
	case opened.Type != envelope.TypeOffer:
		return
	}
	cfg := session.CameraConfig{
		Pair: v.record.Pair, Signal: v.camera.client, Ticket: v.camera.cfg.Ticket, Offer: opened, OfferWire: wire,
		Name: v.camera.cfg.Name, Stream: v.camera.cfg.Stream, Low: v.camera.cfg.Low, TLS: v.camera.cfg.TLS, RelayOnly: v.camera.cfg.RelayOnly, PortMapper: v.camera.cfg.PortMapper, Loopback: signaling.Loopback(v.camera.cfg.RelayURL), Logger: log,
		OnReject: v.camera.alarm.reject,
	}
	v.offers++
	place := v.offers
	v.camera.work.Go(func() { v.serve(ctx, cfg, place) })
}

// roomWait is how long an offer waits for a session that is over to be gone: closing a connection whose other end has left takes a few tenths of a second.
const roomWait = time.Second

// room takes one of the places for this viewer's sessions, if there is one within roomWait.
func (v *viewer) room(ctx context.Context) (release func(), ok bool) {
	release = func() { <-v.sessions }
	select {
	case v.sessions <- struct{}{}:
		return release, true
	default:
	}
	timer := time.NewTimer(roomWait)
	defer timer.Stop()
	select {
	case v.sessions <- struct{}{}:
		return release, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, false
}

func (v *viewer) serve(ctx context.Context, cfg session.CameraConfig, place uint64) {
	log := v.camera.cfg.Logger.With("viewer", v.record.Pair.Peer.Fingerprint().Short())
	refuse := func(why session.Refusal) {
		if err := session.Refuse(ctx, cfg, why); err != nil && ctx.Err() == nil {
			log.Debug("refuse session", "err", err)
		}
	}
	release, ok := v.room(ctx)
	if !ok {
		refuse(session.Refusal{Code: "busy", Text: "This camera is being watched from too many places. Close one and try again."})
		return
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	one := &serving{place: place, cancel: cancel}
	var id session.WatchID
	cfg.OnLive = func() { v.live(id, one) }
	cfg.OnStall = v.camera.client.Hurry
	said := make(map[string]bool) // there are few sentences, and a path that goes to and fro is to fill no log
	cfg.OnPath = func(p session.Path) {
		if !said[p.Why] {
			log.Info("path", "rung", p.Rung(), "why", p.Why)
		}
		said[p.Why] = true
	}
	s, err := session.NewCamera(cfg)
	if err != nil {
		log.Info("session refused", "err", err)
		refuse(session.Refusal{Code: "refused", Text: "The camera could not start a session: " + err.Error() + "."})
		return
	}
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
		refuse(session.Refusal{Code: "refused", Text: "The camera could not understand this viewer. Update both."})
	}
	log.Info("session ends", "err", err)
}

// welcome sends the first envelope of a new pair, which tells the viewer that it is paired, and the camera's name.
func (v *viewer) welcome(ctx context.Context, body []byte) error {
	pair, now := v.record.Pair, time.Now()
	box := pair.Mailbox(envelope.ToViewer, pair.Day(v.camera.today()))
	sealed, err := pair.Seal(box, envelope.Message{Type: envelope.TypeWelcome, Sent: now, Expiry: now.Add(pairingLife), Body: body})
	if err != nil {
		return err
	}
	return v.camera.client.Send(ctx, v.admitted(box), sealed.Wire, pairingLife)
}
