package camera

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling"
)

// sessionsPerViewer bounds how many sessions one viewer holds at a time.
const sessionsPerViewer = 8

// fetchesPerViewer bounds how many of them may be bulk sessions, each of which may keep 13 MB that the viewer does not
// acknowledge.
const fetchesPerViewer = 2

// viewer is one viewer on the roster: its mailboxes and its sessions.
type viewer struct {
	camera       *Camera
	record       pairing.Record
	replays      envelope.Replays
	questions    questions
	clockWarning warning
	cancel       context.CancelFunc
	removed      chan struct{} // closed by markRemoved
	markRemoved  func()        // the viewer is off the roster for good; may be called again
	sessions     chan struct{} // holds a token for each session under way
	fetches      chan struct{} // the same for bulk sessions, which are sessions too

	arriving  sync.Mutex // held while an envelope is opened
	allowance allowance  // guarded by arriving
	copies    copies     // guarded by arriving
	offers    uint64     // guarded by arriving; how many have arrived

	mu      sync.Mutex
	watches map[session.WatchID][]*serving // guarded by mu; the sessions of each watching
}

// start serves the viewer until ctx ends, or stop or remove is called.
func (v *viewer) start(ctx context.Context) {
	serving, cancel := context.WithCancel(ctx)
	v.cancel = cancel
	v.removed = make(chan struct{})
	v.markRemoved = sync.OnceFunc(func() { close(v.removed) })
	v.allowance = newAllowance()
	v.sessions = make(chan struct{}, sessionsPerViewer)
	v.fetches = make(chan struct{}, fetchesPerViewer)

	v.camera.work.Go(func() {
		days := v.run(serving)
		select {
		case <-v.removed:
			v.revoke(ctx, days)
		case <-ctx.Done():
		}
	})
}

// stop ends the viewer's sessions at once.
func (v *viewer) stop() {
	if v.cancel != nil {
		v.cancel()
	}
}

// remove stops the viewer for good. Its mailboxes stop costing the camera anything as soon as the relay can be reached.
func (v *viewer) remove() {
	v.stop()
	if v.markRemoved != nil {
		v.markRemoved()
	}
}

// revoke ends the admission of the viewer's mailboxes. A relay that could be reached knows already that they are
// closed; the client repeats the request until the relay answers.
func (v *viewer) revoke(ctx context.Context, days []uint32) {
	for _, day := range days {
		for _, direction := range []envelope.Direction{envelope.ToCamera, envelope.ToViewer} {
			err := v.camera.signal.Revoke(ctx, v.admitted(v.record.Pair.Mailbox(direction, day)))
			if err != nil {
				v.camera.cfg.Logger.Debug("revoke mailbox", "err", err)
			}
		}
	}
}

// days returns yesterday, today and tomorrow, by every clock that may be right.
func (v *viewer) days() map[uint32]struct{} {
	days := make(map[uint32]struct{})
	for _, now := range v.camera.clocks() {
		yesterday := max(v.record.Pair.Day(now), 1) - 1
		for day := range uint32(3) {
			days[yesterday+day] = struct{}{}
		}
	}

	return days
}

// run keeps the mailboxes of days open, as the days turn, and returns those that were open at its end. Until the relay
// is reached for the first time, nobody knows the day for certain: a camera that can be reached without the relay goes
// by its own clock until then, and any other waits.
func (v *viewer) run(ctx context.Context) (days []uint32) {
	open := make(map[uint32]func())
	defer func() {
		for _, stop := range open {
			stop()
		}
	}()

	dated := make(chan struct{})
	v.camera.work.Go(func() {
		defer close(dated)
		v.camera.relays.connect(ctx)
	})
	if v.camera.without == nil {
		<-dated
	}

	ticker := time.NewTicker(rolloverEvery)
	defer ticker.Stop()
	for {
		if ctx.Err() != nil {
			return slices.Collect(maps.Keys(open))
		}
		v.turnDays(ctx, open)
		select {
		case <-ctx.Done():
		case <-dated:
			dated = nil
		case <-ticker.C:
		}
	}
}

// turnDays closes the mailboxes of days that are over, and opens those of new ones.
func (v *viewer) turnDays(ctx context.Context, open map[uint32]func()) {
	wanted := v.days()
	for day, stop := range open {
		if _, ok := wanted[day]; !ok {
			stop()
			delete(open, day)
		}
	}

	for day := range wanted {
		if open[day] == nil {
			open[day] = v.openDay(ctx, day)
		}
	}
}

// openDay opens both mailboxes of a day. The viewer holds no ticket, so the camera's ticket also admits the mailbox to
// the viewer.
func (v *viewer) openDay(ctx context.Context, day uint32) (stop func()) {
	box := v.record.Pair.Mailbox(envelope.ToCamera, day)
	stopReading := v.camera.signal.Receive(v.admitted(box), func(d signaling.Delivery) bool {
		v.deliver(ctx, box, d)
		return true
	})
	stopKeeping := v.camera.signal.Keep(v.admitted(v.record.Pair.Mailbox(envelope.ToViewer, day)))
	return func() { stopReading(); stopKeeping() }
}

// admitted returns a mailbox with the camera's ticket.
func (v *viewer) admitted(m envelope.Mailbox) signaling.Mailbox {
	return signaling.Mailbox{Read: m.Read, Write: m.Write, Ticket: v.camera.credentials.Load().ticket}
}

// name returns how the log names the viewer.
func (v *viewer) name() string { return v.record.Pair.Peer.Fingerprint().String() }

// welcome sends the first envelope of a new pair by the relay where it was made. It tells the viewer that it is paired.
func (v *viewer) welcome(ctx context.Context, relay *signaling.Client, body []byte) error {
	pair, now := v.record.Pair, v.camera.clock.Now()
	box := pair.Mailbox(envelope.ToViewer, pair.Day(v.camera.today()))
	sealed, err := pair.Seal(box, envelope.Message{
		Type:   envelope.TypeWelcome,
		Sent:   now,
		Expiry: now.Add(codeLife),
		Body:   body,
	})
	if err != nil {
		return err
	}
	return relay.Send(ctx, v.admitted(box), sealed.Wire, codeLife)
}
