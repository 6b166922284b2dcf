package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

const (
	// restartEvery limits how often a viewer can ask for the group of pictures again.
	restartEvery = 500 * time.Millisecond
	// A picture that is behind by behindSome and is no reference is left out; behind by behindMuch, all are up to a keyframe that waits
	// already; behind by behindMost, all are up to the next keyframe, whenever it comes: what is shown must be live.
	behindSome = 150 * time.Millisecond
	behindMuch = 300 * time.Millisecond
	behindMost = LiveFor * 4 / 5
	// copyApart is how much later the next copy of a packet leaves: what takes one on its way often takes its neighbour too.
	copyApart = 20 * time.Millisecond
)

// sender seals access units and writes them to the track, at the path's pace. What the path does not carry it leaves out before it is
// sealed, so that whatever is sent can be decoded.
type sender struct {
	track   *track
	pacer   *pacer
	carrier media.Carrier
	streams *selection
	log     *slog.Logger
	answers atomic.Pointer[challenge]          // the viewer's last
	cancel  atomic.Pointer[context.CancelFunc] // ends the present subscription
	groups  atomic.Pointer[media.Groups]       // of the present subscription
	keyed   atomic.Int64                       // when the last keyframe left, Unix nanoseconds
	lack    lack
	tally   tally
	packets chan packet // to transmit
	missed  chan uint16 // sequence numbers that the viewer misses
	copies  chan packet // of what was sent again

	restarted time.Time // owned by the session's goroutine

	sealer    *sframe.Sender
	binding   []byte
	plaintext []byte // reused
	sealed    []byte // reused
	header    rtp.Header
	stamped   bool // header.Timestamp is an earlier frame's
}

// packet is one of a frame.
type packet struct {
	header  rtp.Header
	payload []byte
}

// missedMost is how many packets that a viewer misses wait to be sent again. What is more it will ask for again.
const missedMost = 512

func newSender(t *track, p *pacer, c media.Carrier, streams *selection, log *slog.Logger) *sender {
	return &sender{track: t, pacer: p, carrier: c, streams: streams, log: log, packets: make(chan packet), missed: make(chan uint16, missedMost), copies: make(chan packet, missedMost)}
}

func (s *sender) seal(key *secret, first blob) error {
	sealer, err := sframe.NewSender(key.cameraBaseKey(videoTrack), kid(identity.Camera, videoTrack))
	if err != nil {
		return fmt.Errorf("make frame sender: %w", err)
	}
	s.sealer, s.binding = sealer, key.binding(videoTrack)
	s.answerTo(first)
	return nil
}

// answerTo makes the frames from now on carry the viewer's challenge.
func (s *sender) answerTo(b blob) {
	if len(b) == challengeSize {
		c := challenge(b)
		s.answers.Store(&c)
	}
}

// again sends the current group of pictures once more for a viewer who has lost the thread, if that gives a picture sooner than the
// next keyframe will. The session's goroutine calls it.
func (s *sender) again() {
	cancel := s.cancel.Load()
	if cancel == nil || time.Since(s.restarted) <= restartEvery || !s.worthIt() {
		return
	}
	s.restarted = time.Now()
	(*cancel)()
}

// worthIt says whether a group of pictures that is sent again would have come, and the viewer be up to date, before the next
// keyframe. It would not where one is on its way just now, nor over a line that hardly carries the stream.
func (s *sender) worthIt() bool {
	groups := s.groups.Load()
	if groups == nil {
		return true
	}
	if time.Since(time.Unix(0, s.keyed.Load())) < s.pacer.roundTrip()+restartEvery {
		return false
	}
	spare := s.pacer.rate() - groups.Rate()
	next := groups.Length - time.Since(groups.Began)
	return groups.Length == 0 || spare > 0 && float64(groups.Bytes)*8/spare < next.Seconds()
}

// run sends until ctx ends or the stream does. It subscribes anew for a viewer who has lost the thread.
func (s *sender) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if !s.track.reported() {
		s.pacer.goBlind()
	}
	work.Go(func() { s.transmit(ctx) })
	s.header = rtp.Header{Version: 2}
	for ctx.Err() == nil {
		following, cancel := context.WithCancel(ctx)
		s.cancel.Store(&cancel)
		err := s.follow(ctx, following)
		cancel()
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// transmit sends packets when they may leave, those that are missed first, until ctx ends.
func (s *sender) transmit(ctx context.Context) {
	for {
		var p packet
		var err error
		select {
		case number := <-s.missed:
			err = s.repair(ctx, number)
		default:
			select {
			case number := <-s.missed:
				err = s.repair(ctx, number)
			case p = <-s.copies:
				err = s.resend(ctx, p)
			case p = <-s.packets:
				var number uint16
				if number, err = s.pacer.wait(ctx, len(p.payload)); err == nil {
					err = s.track.send(p, number)
				}
			case <-ctx.Done():
				return
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Debug("send packet", "err", err)
		}
	}
}

// repair sends a packet again, if it still can be.
func (s *sender) repair(ctx context.Context, number uint16) error {
	p, copies := s.track.again(number, s.pacer.copies(), s.pacer.underway)
	if copies == 0 {
		return nil
	}
	if err := s.resend(ctx, p); err != nil {
		return err
	}
	for n := 1; n < copies; n++ {
		time.AfterFunc(time.Duration(n)*copyApart, func() {
			select {
			case s.copies <- p:
			default: // too many are waiting already
			}
		})
	}
	return nil
}

// resend sends one copy of a packet that was sent.
func (s *sender) resend(ctx context.Context, p packet) error {
	wide, err := s.pacer.wait(ctx, len(p.payload))
	if err != nil {
		return err
	}
	s.tally.again.Add(1)
	return s.track.repair(p, wide)
}

// miss takes a viewer's list of missing packets.
func (s *sender) miss(nack *rtcp.TransportLayerNack) {
	for _, pair := range nack.Nacks {
		for _, number := range pair.PacketList() {
			select {
			case s.missed <- number:
			default:
				return
			}
		}
	}
}

// follow sends the stream from the current group of pictures on, until following ends or the stream does. A frame that has begun is
// sent whole.
func (s *sender) follow(ctx, following context.Context) error {
	s.streams.open()
	defer s.streams.close()
	skipping := false
	began := time.Duration(0) // how far behind the group of pictures was that the subscription began with
	for {
		unit, err := s.streams.next(following)
		if err != nil {
			return err
		}
		groups := s.streams.present.Groups()
		s.groups.Store(&groups)
		if began == 0 {
			began = time.Since(unit.Captured)
		}
		late := time.Since(unit.Captured)
		optional, skipped, skips := false, 0, false
		if late > behindMuch {
			skipped, skips = s.streams.present.Skip()
		}
		switch {
		case skips:
			skipping = true
		case unit.Keyframe:
			skipping = false
		case late > max(behindMost, began):
			skipping = true
		default:
			optional = late > behindSome && !unit.Reference()
		}
		if skipping || optional {
			s.lack.left(time.Now(), s.pacer.measured(), groups.Rate())
			s.streams.left()
			s.tally.left.Add(int64(1 + skipped))
			continue
		}
		if err := s.send(ctx, unit); err != nil {
			s.log.Debug("send frame", "err", err)
		}
	}
}

// trouble is what the person is told of the network; empty: nothing.
func (s *sender) trouble() string {
	if s.streams.lower.Load() {
		return "the network is too slow for this camera's main stream: this is the lower one"
	}
	return s.lack.String()
}

func (s *sender) send(ctx context.Context, unit media.AccessUnit) error {
	s.plaintext = appendFrame(s.plaintext[:0], unit, answerOf(unit, *s.answers.Load()))
	sealed, err := s.sealer.Seal(s.sealed[:0], s.binding, s.plaintext)
	if err != nil {
		return err
	}
	s.sealed = sealed
	s.stamp()
	if unit.Keyframe {
		s.keyed.Store(time.Now().UnixNano())
	}
	payloads := s.carrier.Packetize(unit.Keyframe, sealed)
	for i, payload := range payloads {
		s.header.SequenceNumber++
		s.header.Marker = i == len(payloads)-1
		select {
		case s.packets <- packet{s.header, payload}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if unit.Keyframe {
		s.keyed.Store(time.Now().UnixNano())
	}
	return nil
}

// answerOf is the challenge that a frame carries: none if it is from the cached group of pictures and too old to be called live.
func answerOf(unit media.AccessUnit, last challenge) challenge {
	if time.Since(unit.Captured) > LiveFor {
		return challenge{}
	}
	return last
}

// stamp gives the next frame the time at which it is sent, so that a group of pictures sent at once is not taken for
// one that is played over seconds. Two frames are at least a millisecond apart.
func (s *sender) stamp() {
	now := uint32(time.Now().UnixMicro() * 9 / 100)
	if least := s.header.Timestamp + clockRate/1000; int32(now-least) < 0 && s.stamped {
		now = least
	}
	s.header.Timestamp, s.stamped = now, true
}
