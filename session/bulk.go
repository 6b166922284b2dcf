package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/icepath"
	"github.com/peephole-cam/peephole/signaling"
)

// A bulk session carries what is too large for signaling and is not live video (doc/protocol.md, section 6.7). Both
// ends agree on a session secret as usual. Then each sends the other the hash of its certificate in a record, they find
// a path with ICE agents of their own, and one QUIC connection runs on it.

// BulkConn is the connection of a bulk session, at either end.
type BulkConn struct {
	*bulk.Conn
	path *icepath.Path
}

// Relayed reports whether the path leads through a relay now.
func (c BulkConn) Relayed() bool { return c.path.Relayed() }

// bulkConfig is what either end needs once there is a secret.
type bulkConfig struct {
	role    identity.Role
	secret  *handshake.Secret
	peer    peerConfig
	ports   PortMapper // nil if no port is to be opened
	outbox  *outbox
	arrived <-chan signaling.Delivery                   // what arrives in the session's mailbox
	foreign func(d signaling.Delivery, err error)       // called with what arrived and is no record
	use     func(ctx context.Context, c BulkConn) error // uses the connection; the session ends when it returns
}

// bulkEnd is one end of a bulk session that both ends have agreed to. The goroutine that calls run owns it.
type bulkEnd struct {
	cfg     bulkConfig
	records handshake.RecordChannel
	path    *icepath.Path
	own     bulk.Certificate
	other   chan bulk.Hash // holds one, of the other end's certificate
	events  chan func() error
	work    sync.WaitGroup

	taken, offered quota // count the other end's candidates, and ours
	heard          bool  // the other end has sent the hash of its certificate
	puncher        *puncher
	relayedSince   time.Time // since when the path leads through a relay; zero if it does not
}

func newBulkEnd(ctx context.Context, cfg bulkConfig) (*bulkEnd, error) {
	out := envelope.ToCamera
	if cfg.role == identity.Camera {
		out = envelope.ToViewer
	}
	e := &bulkEnd{
		cfg:     cfg,
		records: cfg.secret.RecordKeys(out).Signaling,
		other:   make(chan bulk.Hash, 1),
		events:  make(chan func() error, 64),
		taken:   make(quota),
		offered: make(quota),
	}

	var err error
	if e.own, err = bulk.NewCertificate(); err != nil {
		return nil, err
	}
	client, sockets, err := newTURNClient(ctx, cfg.peer)
	if err != nil {
		return nil, err
	}

	own, other := e.credentials()
	path := icepath.Config{
		Controlling: cfg.role == identity.Viewer,
		Own:         own,
		Other:       other,
		Client:      client,
		RelayOnly:   cfg.peer.relayOnly,
		Loopback:    cfg.peer.loopback,
		Logger:      loggers{cfg.peer.log, new(foreignPackets)},
		OnCandidate: func(c *webrtc.ICECandidate) { e.do(ctx, func() error { return e.candidate(ctx, c) }) },
	}
	if turn := cfg.peer.turn; turn != nil {
		path.Username, path.Credential = turn.Username, turn.Credential
	}
	if e.path, err = icepath.New(ctx, path); err != nil {
		return nil, err
	}

	do := func(f func() error) { e.do(ctx, f) }
	e.puncher = newPuncher(sockets, e.addCandidate, cfg.role == identity.Viewer, cfg.peer.turn.ServerURLs(), e.send, do,
		&e.work, cfg.peer.log)
	return e, nil
}

// credentials returns those of both ends' agents.
func (e *bulkEnd) credentials() (own, other icepath.Credentials) {
	theirs := identity.Camera
	if e.cfg.role == identity.Camera {
		theirs = identity.Viewer
	}
	own.UsernameFragment, own.Password = e.cfg.secret.ICECredentials(e.cfg.role)
	other.UsernameFragment, other.Password = e.cfg.secret.ICECredentials(theirs)
	return own, other
}

// do hands f to run's goroutine, unless the session has ended.
func (e *bulkEnd) do(ctx context.Context, f func() error) {
	select {
	case e.events <- f:
	case <-ctx.Done():
	}
}

// run connects both ends and calls use. It returns use's error, or why there was no connection, or errLeft if the other
// end leaves first. If use succeeded, it returns nil. held are the records that came before the answer.
func (e *bulkEnd) run(ctx context.Context, cancel context.CancelFunc, held []signaling.Delivery) error {
	var carrying sync.WaitGroup
	ended := make(chan error, 1)
	carrying.Go(func() { e.carry(ctx, ended) })
	err := e.loop(ctx, held, ended)
	if errors.Is(err, errLeft) {
		select {
		case err = <-ended: // use has returned, perhaps before the goodbye was read: then its error counts
		default:
		}
	}

	cancel()
	carrying.Wait() // closing the connection still needs the path
	select {
	case used := <-ended:
		if used == nil {
			err = nil
		}
	default:
	}

	if closing := e.path.Close(); closing != nil {
		e.cfg.peer.log.Debug("close path", "err", closing)
	}
	e.work.Wait()
	return err
}

// loop handles what happens until the connection has been used, which ended says, or cannot be used.
func (e *bulkEnd) loop(ctx context.Context, held []signaling.Delivery, ended <-chan error) error {
	if err := e.begin(ctx, held); err != nil {
		return err
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		var err error
		select {
		case err := <-ended:
			return err
		case f := <-e.events:
			err = f()
		case d := <-e.cfg.arrived:
			err = e.deliver(ctx, d)
		case <-ticker.C:
			e.noteRelayed()
			e.puncher.tick(ctx, e)
		}
		if err != nil {
			return err
		}
	}
}

// begin sends the hash of this end's certificate, looks for candidates, and reads what arrived before the answer.
func (e *bulkEnd) begin(ctx context.Context, held []signaling.Delivery) error {
	hash := e.own.Hash()
	if err := e.send(handshake.Message{Type: "bulk", Certificate: hash[:]}); err != nil {
		return err
	}
	if err := e.path.Gather(); err != nil {
		return err
	}
	for _, d := range held {
		if err := e.deliver(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// carry finds the path, makes the connection on it, and uses that. It says how that ended before it closes the
// connection.
func (e *bulkEnd) carry(ctx context.Context, ended chan<- error) {
	connecting, stop := clock.WithTimeout(ctx, connectWait)
	defer stop()
	conn, err := e.connect(connecting)
	if err == nil {
		ended <- e.useUntilLost(ctx, conn)
		conn.Close()
		return
	}

	if errors.Is(context.Cause(connecting), context.DeadlineExceeded) || errors.Is(err, icepath.ErrFailed) {
		e.cfg.peer.log.Debug("connect", "err", err)
		err = e.noWay()
	}
	ended <- err
}

// useUntilLost uses the connection, until the path breaks for good at the latest.
func (e *bulkEnd) useUntilLost(ctx context.Context, conn *bulk.Conn) error {
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	go func() {
		select {
		case <-e.path.Failed():
			lost(ErrLost)
		case <-ctx.Done():
		}
	}()
	return e.cfg.use(ctx, BulkConn{conn, e.path})
}

func (e *bulkEnd) noWay() error {
	if e.cfg.role == identity.Camera {
		return noWayError{"viewer"}
	}
	return noWayError{"camera"}
}

func (e *bulkEnd) connect(ctx context.Context) (*bulk.Conn, error) {
	packets, err := e.path.Connect(ctx)
	if err != nil {
		return nil, err
	}
	var other bulk.Hash
	select {
	case other = <-e.other:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}

	begin := bulk.Dial
	if e.cfg.role == identity.Camera {
		begin = bulk.Accept
	}
	return begin(ctx, net.PacketConn(packets), e.own, other)
}

// deliver reads a record of the other end.
func (e *bulkEnd) deliver(ctx context.Context, d signaling.Delivery) error {
	m, err := e.records.Open(d.Body)
	if handshake.IsHarmless(err) {
		return nil
	}
	if err != nil {
		e.cfg.foreign(d, err)
		return nil
	}

	switch m.Type {
	case "candidate":
		if e.taken.takes(m, e.cfg.peer.log) {
			e.addCandidate(m)
		}
	case "bulk":
		return e.hear(m.Certificate)
	case "punch":
		e.puncher.heard(ctx, e, m.Punch)
	case "bye":
		return errLeft
	}
	return nil
}

// hear takes the hash of the other end's certificate. The first one counts.
func (e *bulkEnd) hear(hash handshake.Blob) error {
	if e.heard {
		return nil
	}
	if len(hash) != len(bulk.Hash{}) {
		return fmt.Errorf("%w: a certificate's hash of %d bytes", handshake.ErrMalformed, len(hash))
	}
	if own := e.own.Hash(); subtle.ConstantTimeCompare(own[:], hash) == 1 {
		return fmt.Errorf("%w: our own certificate's hash", handshake.ErrMalformed)
	}
	e.heard = true
	e.other <- bulk.Hash(hash)
	return nil
}

func (e *bulkEnd) addCandidate(m handshake.Message) {
	if err := e.path.AddCandidate(m.Candidate); err != nil {
		e.cfg.peer.log.Debug("add candidate", "err", err)
	}
}

// candidate handles a candidate of this end. nil means that no more will come, except those of opened ports.
func (e *bulkEnd) candidate(ctx context.Context, c *webrtc.ICECandidate) error {
	if !e.cfg.peer.relayOnly && !e.cfg.peer.loopback {
		openPort(ctx, e.cfg.ports, c, &e.work, e.cfg.peer.log, func(m *webrtc.ICECandidate) {
			e.do(ctx, func() error { return e.sendCandidate(m) })
		})
	}
	return e.sendCandidate(c)
}

func (e *bulkEnd) sendCandidate(c *webrtc.ICECandidate) error {
	if !e.offered.offers(c) {
		return nil
	}
	return e.send(candidateMessage(outgoing(c)))
}

func (e *bulkEnd) send(m handshake.Message) error {
	wire, err := e.records.Seal(m)
	if err != nil {
		return err
	}
	e.cfg.outbox.post(wire)
	return nil
}

// byeRecord returns a record that ends the session at the other end. It returns nil if no path was found or the path
// broke: the other end notices that itself, and can then report the true reason.
func (e *bulkEnd) byeRecord(err error, log *slog.Logger) []byte {
	if errors.Is(err, ErrLost) {
		return nil
	}
	wire, err := e.records.Seal(handshake.Message{Type: "bye", Reason: "closed"})
	if err != nil {
		log.Debug("say bye", "err", err)
		return nil
	}
	return wire
}

// noteRelayed notes since when the path leads through a relay.
func (e *bulkEnd) noteRelayed() {
	switch {
	case !e.path.Relayed():
		e.relayedSince = time.Time{}
	case e.relayedSince.IsZero():
		e.relayedSince = time.Now()
	}
}

// PunchDue implements punchSituation.
func (e *bulkEnd) PunchDue(after time.Duration) bool {
	return !e.relayedSince.IsZero() && time.Since(e.relayedSince) >= after && e.WorthPunching()
}

// WorthPunching implements punchSituation.
func (e *bulkEnd) WorthPunching() bool { return e.path.Relayed() && !e.cfg.peer.relayOnly }
