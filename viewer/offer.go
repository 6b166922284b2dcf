package viewer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// agent is how this viewer names itself to cameras.
const agent = "peephole viewer"

// relayGrace is how much longer the relay has to grant ICE servers once the camera was found on this network, where the
// picture needs none.
const relayGrace = 150 * time.Millisecond

// askGrant asks for the session's ICE servers. It gives up on a relay that is there and says nothing. Without the
// relay, a camera that was reached otherwise is watched without ICE servers.
func (l *link) askGrant(ctx context.Context, inbox signaling.Mailbox) (*serversGranted, error) {
	wait := l.grantWait()
	asking, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if l.reachedWithout() && wait > relayGrace { // for a relay that may be slow, not for one that refuses to be reached
		defer context.AfterFunc(l.refused, func() {
			if l.search.despairs(asking) {
				cancel()
			}
		})()
	}
	grant, err := l.search.grant(asking, inbox, func() { l.searchElsewhere() })
	l.setGranter(grant.place)

	switch {
	case err == nil:
		l.relayServes()
		return &grant, nil
	case l.reachesWithout(ctx):
		return nil, nil
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return nil, session.ErrSilent
	}
	return nil, err
}

// stunServers returns the camera's circuit relays, which tell both ends their addresses where the relay cannot. It
// returns nil if there are none, and on the camera's network, where nobody else needs to hear of the session.
func (l *link) stunServers() *session.TURN {
	urls := p2p.STUNURLs(l.hostNames().Relays)
	if len(urls) == 0 || l.lan.Connected() {
		return nil
	}
	return &session.TURN{URLs: urls}
}

// mailboxDays returns the days whose mailbox the camera may have open: today by the clock of the relay that was
// reached, and by this device's own if that is another day. Either clock may be wrong.
func (l *link) mailboxDays(record pairing.Record, now time.Time) []uint32 {
	own := record.Pair.Day(now)
	relay, known := l.search.serverTime()
	if !known || record.Pair.Day(relay) == own {
		return []uint32{own}
	}
	return []uint32{record.Pair.Day(relay), own}
}

// eachDay calls try with the camera's mailbox of each of mailboxDays, until one is answered.
func (v *Viewer) eachDay(
	ctx context.Context,
	l *link,
	record pairing.Record,
	try func(inbox signaling.Mailbox, box envelope.Mailbox) error,
) (err error) {
	for _, day := range l.mailboxDays(record, v.clock.Now()) {
		box := record.Pair.Mailbox(envelope.ToCamera, day)
		inbox := signaling.Mailbox{Read: box.Read, Write: box.Write}
		err = l.eachRelay(ctx, func() error { return try(inbox, box) })
		if notAdmitted(err) {
			err = session.ErrNoAnswer // the camera has not opened this mailbox
		}
		if !errors.Is(err, session.ErrNoAnswer) {
			return err
		}
	}
	return err
}

// eachRelay calls try, and calls it again whenever the relays that are connected do not serve the camera and one more
// is reached, or the camera is found without them.
func (l *link) eachRelay(ctx context.Context, try func() error) error {
	l.search.forgive()
	for elsewhere := l.reachedWithout(); ; {
		asked := l.search.reached()
		err := try()
		switch {
		case !unserved(err):
			return err
		case l.search.reachesAnother(ctx, asked):
		case notAdmitted(err) && !elsewhere && l.reachesWithout(ctx):
			elsewhere = true
		default:
			return err
		}
	}
}

// notAdmitted reports whether a relay knows of no camera that has a mailbox open.
func notAdmitted(err error) bool {
	var refusal *signaling.Error
	return errors.As(err, &refusal) && refusal.Code == signaling.CodeNotAdmitted
}

// askedNonce returns the nonce that a camera asks for when its clock and ours disagree: it accepts an offer that
// repeats the nonce. It returns nil for any other error.
func askedNonce(err error) []byte {
	var refusal *session.Refusal
	if errors.As(err, &refusal) && refusal.Code == session.ClockRefusal && len(refusal.Nonce) == session.NonceSize {
		return refusal.Nonce
	}
	return nil
}

// runSession runs one session with pictures. cfg holds the functions that it calls, and the ID of its watching.
func (v *Viewer) runSession(
	ctx context.Context,
	l *link,
	record pairing.Record,
	relayOnly bool,
	cfg session.ViewerConfig,
) error {
	cfg.RelayOnly = relayOnly
	return v.offer(ctx, l, record, cfg, func(ctx context.Context, cfg session.ViewerConfig) error {
		s, err := session.NewViewer(cfg)
		if err != nil {
			return err
		}
		return s.Run(ctx)
	})
}

// maxLosses is how often a session may lose its relay before it has started, and be offered again.
const maxLosses = 3

// offer offers a session of any kind through each mailbox that the camera may have open, until one is answered. run
// offers it and runs it. If the session loses its relay before it has started, it is offered again by another one.
func (v *Viewer) offer(
	ctx context.Context,
	l *link,
	record pairing.Record,
	cfg session.ViewerConfig,
	run func(context.Context, session.ViewerConfig) error,
) (err error) {
	for range 1 + maxLosses {
		err = v.eachDay(ctx, l, record, func(inbox signaling.Mailbox, box envelope.Mailbox) error {
			cfg.Inbox, cfg.Box = inbox, box
			return v.offerToday(ctx, l, record, cfg, run)
		})
		if !errors.Is(err, errRelayLost) {
			return err
		}
	}
	return err
}

// offerToday runs one session, which it offers through cfg's mailbox.
func (v *Viewer) offerToday(
	ctx context.Context,
	l *link,
	record pairing.Record,
	cfg session.ViewerConfig,
	run func(context.Context, session.ViewerConfig) error,
) error {
	defer l.signal.Keep(cfg.Inbox)()
	grant, err := l.askGrant(ctx, cfg.Inbox)
	if err != nil {
		return err
	}

	var keeping sync.WaitGroup
	defer keeping.Wait()
	fetching, stop := context.WithCancel(ctx)
	defer stop()
	if grant == nil {
		cfg.TURN = l.stunServers()
		cfg.CameraTURN = cfg.TURN
		cfg.SeenAs = l.seenAs()
	} else {
		cfg.TURN, cfg.CameraTURN = grant.forEnd(grant.Viewer), grant.forEnd(grant.Camera)
	}

	cfg.Pair = record.Pair
	signal := &offering{Carriers: l.signal, search: l.search}
	defer signal.replied()
	cfg.Signal = signal
	cfg.Loopback = relayurl.Loopback(record.RelayURL)
	cfg.TLS = v.cfg.TLS
	cfg.PortMapper = v.cfg.PortMapper
	cfg.Carriers = []media.Carrier{media.H264Carrier, media.VP8Carrier}
	cfg.Agent = agent
	cfg.Clock = v.cfg.Ages
	cfg.Now = v.clock.Now
	cfg.HostVersion = v.hostVersion(record)
	cfg.RelayVersion = v.relaysOf(record).version()
	cfg.OnRelayList = func(list session.RelayList) {
		keeping.Go(func() {
			v.keepRelayList(record, list)
			v.refreshMap(fetching, record)
		})
	}
	onReply := cfg.OnReply
	cfg.OnReply = func(carrier string) {
		signal.replied()
		call(onReply, carrier)
		keeping.Go(func() { v.refreshMap(fetching, record) })
	}
	cfg.OnHostList = func(list session.HostList) { // a slow disk must not hold up the session
		keeping.Go(func() {
			v.keepHostList(record, list)
			l.setNames(list)
		})
	}
	cfg.Logger = v.cfg.Logger

	begins := l.begin(ctx)
	defer begins.stop()
	onPhase, onFrame := cfg.OnPhase, cfg.OnFrame
	cfg.OnPhase = func(phase string) {
		begins.advance(phase)
		call(onPhase, phase)
	}
	cfg.OnFrame = func(f session.Frame) {
		if !f.Still {
			begins.started()
		}
		call(onFrame, f)
	}

	err = run(begins.running, cfg)
	if cfg.Nonce = askedNonce(err); cfg.Nonce != nil {
		call(cfg.OnStatus, session.Status{Code: session.ClockRefusal, Text: err.Error()})
		err = run(begins.running, cfg)
	}
	return begins.explain(ctx, err)
}
