package stream

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/congestion"
	"github.com/peephole-cam/peephole/session/handshake"
)

const (
	// restartEvery limits how often a viewer can make the camera send the group of pictures again.
	restartEvery = 500 * time.Millisecond
	// The sender leaves out pictures when it is behind, because what is shown must be live. Behind by behindSome, it
	// leaves out those that no other picture refers to; by behindMuch, all before a keyframe that already waits; by
	// behindTooMuch, all before the next keyframe, unless everything that waits will have left by then.
	behindSome    = 150 * time.Millisecond
	behindMuch    = 300 * time.Millisecond
	behindTooMuch = handshake.LiveFor * 4 / 5
	// catchUp is how long it may take to send what waits if it is unknown when the next keyframe comes.
	catchUp = 10 * time.Second
	// copyApart is the time between two copies of a packet. Whatever loses one often loses its neighbour too.
	copyApart = 20 * time.Millisecond
)

// Sender seals access units and writes them to the track, at the path's pace. It leaves out what the path does not
// carry before it seals, so that the viewer can decode everything that it sends.
type Sender struct {
	track   *Track
	pacer   *congestion.Pacer
	carrier media.Carrier
	streams *Selector
	log     *slog.Logger
	sealer  *handshake.FrameSealer             // set by SealWith, before Run
	cancel  atomic.Pointer[context.CancelFunc] // ends the present subscription
	groups  atomic.Pointer[media.Groups]       // of the present subscription
	keyed   atomic.Pointer[time.Time]          // when the last keyframe left; nil if none has
	// underway is the keyframe that is leaving, or nil if none is.
	underway atomic.Pointer[underway]
	delay    clock.SchedulingDelay
	warning  bandwidthWarning
	tally    tally
	packets  chan packet // to transmit
	missed   chan uint16 // sequence numbers that the viewer misses
	copies   chan packet // further copies of packets that were sent again

	restarted time.Time // owned by the session's goroutine

	header rtp.Header
	began  time.Time // when the first frame was stamped; zero if none was
	origin uint32    // the first frame's timestamp
}

// packet is one packet of a frame.
type packet struct {
	header  rtp.Header
	payload []byte
}

// maxMissed bounds the packets that wait to be sent again. The viewer will ask for any others once more.
const maxMissed = 512

func NewSender(t *Track, p *congestion.Pacer, c media.Carrier, streams *Selector, log *slog.Logger) *Sender {
	return &Sender{
		track:   t,
		pacer:   p,
		carrier: c,
		streams: streams,
		log:     log,
		packets: make(chan packet),
		missed:  make(chan uint16, maxMissed),
		copies:  make(chan packet, maxMissed),
	}
}

// SealWith sets the sealer of the pictures. It must be called before Run.
func (s *Sender) SealWith(sealer *handshake.FrameSealer) { s.sealer = sealer }

// AnswerChallenge makes the pictures from now on carry the viewer's challenge.
func (s *Sender) AnswerChallenge(b []byte) { s.sealer.AnswerChallenge(b) }

// ViewerBusy notes which share of its time, from 0 to 1, the viewer's end waits for a processor.
func (s *Sender) ViewerBusy(share float64) { s.warning.report(time.Now(), share) }

// Restart sends the current group of pictures once more to a viewer that can decode nothing, if the viewer gets a
// picture sooner that way than with the next keyframe. The session's goroutine calls it.
func (s *Sender) Restart() {
	cancel := s.cancel.Load()
	if cancel == nil || time.Since(s.restarted) <= restartEvery || !s.worthRestarting(s.pacer.Rate()) {
		return
	}
	s.restarted = time.Now()
	(*cancel)()
}

// worthRestarting reports whether, at a rate in bit/s, sending the current group of pictures again brings the viewer up
// to date before the next keyframe. It does not while a keyframe is leaving, or over a line that hardly carries the
// stream.
func (s *Sender) worthRestarting(rate float64) bool {
	if s.underway.Load() != nil {
		return false
	}
	groups := s.groups.Load()
	if groups == nil {
		return true
	}
	if keyed := s.keyed.Load(); keyed != nil && time.Since(*keyed) < s.pacer.RoundTrip()+restartEvery {
		return false
	}

	spare := rate - groups.Rate()
	next := groups.Length - groups.Began.Age()
	return groups.Length == 0 || spare > 0 && float64(groups.Bytes)*8/spare < next.Seconds()
}

// Run sends until ctx ends or the stream does. After a Restart it subscribes again.
func (s *Sender) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if !s.track.reported() {
		s.pacer.GoBlind()
	}

	work.Go(func() { s.transmit(ctx) })
	work.Go(func() { s.delay.Run(ctx) })
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

// transmit sends each packet as soon as it may leave, until ctx ends. Missed packets come first.
func (s *Sender) transmit(ctx context.Context) {
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
				if number, err = s.pacer.Wait(ctx, len(p.payload)); err == nil {
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

// repair sends a missed packet again if the track still keeps it.
func (s *Sender) repair(ctx context.Context, number uint16) error {
	p, copies := s.track.again(number, s.pacer.Copies(), s.pacer.Underway)
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
			default: // too many wait already
			}
		})
	}

	return nil
}

// resend sends one copy of a packet that was sent before.
func (s *Sender) resend(ctx context.Context, p packet) error {
	wide, err := s.pacer.Wait(ctx, len(p.payload))
	if err != nil {
		return err
	}
	s.tally.again.Add(1)
	return s.track.repair(p, wide)
}

// SendAgain notes which packets a viewer misses, so that transmit sends them again.
func (s *Sender) SendAgain(nack *rtcp.TransportLayerNack) {
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

// follow sends the stream from the current group of pictures on, until following ends or the stream does. It finishes a
// frame that it has begun.
func (s *Sender) follow(ctx, following context.Context) error {
	s.streams.open()
	defer s.streams.close()
	var lag *lag
	for {
		unit, err := s.streams.next(following)
		if err != nil {
			return err
		}
		groups, late := s.streams.groups(), unit.Captured.Age()
		s.groups.Store(&groups)
		if lag == nil {
			lag = newLag(late)
		}

		leave := s.leavesOut(lag, unit, late)
		n := s.streams.newlyDropped()
		if leave {
			n++
		}
		if n > 0 {
			s.noteLeftOut(n, leftOut{late: late, carried: s.pacer.Measured(), wanted: groups.Rate()})
		}
		if leave {
			continue
		}

		if err := s.send(ctx, unit); err != nil {
			s.log.Debug("send frame", "err", err)
		}
	}
}

// lag describes how far a sender is behind its subscription.
type lag struct {
	began    time.Duration // how far behind the subscription's first group of pictures was
	skipping bool          // the sender leaves out all pictures up to the next keyframe
}

func newLag(began time.Duration) *lag { return &lag{began: began} }

// leavesOut reports whether to leave out a picture that is late by the given time.
func (s *Sender) leavesOut(l *lag, unit media.AccessUnit, late time.Duration) bool {
	if late > behindMuch && s.streams.skip() {
		l.skipping = true
		return true
	}

	switch {
	case unit.Keyframe:
		l.skipping = false
	case late > max(behindTooMuch, l.began) && !s.catchesUp(s.pacer.Rate(), *s.groups.Load()):
		l.skipping = true
	case late > behindSome && !unit.Reference():
		return true
	}

	return l.skipping
}

// catchesUp reports whether, at a rate in bit/s, everything that waits will have left before the next keyframe comes.
// If so, the sender leaves nothing out: when keyframes are a minute apart, a large one that takes long must not cost
// the rest of the minute.
func (s *Sender) catchesUp(rate float64, g media.Groups) bool {
	spare := rate - g.Rate()
	next := catchUp
	if g.Length > 0 {
		next = g.Length - g.Began.Age()
	}
	return spare > 0 && float64(s.streams.backlog())*8/spare < next.Seconds()
}

// noteLeftOut notes that n pictures were left out.
func (s *Sender) noteLeftOut(n int, p leftOut) {
	now := time.Now()
	p.waited = s.delay.Since(now.Add(-p.late))
	s.warning.noteLeftOut(now, p)
	s.streams.noteLeftOut()
	s.tally.left.Add(int64(n))
}

// Shows reports whether a picture has been sent to the viewer.
func (s *Sender) Shows() bool { return s.groups.Load() != nil }

// Trouble returns a sentence about what keeps the stream from the viewer. It is empty if all is well.
func (s *Sender) Trouble() string {
	if u := s.underway.Load(); u != nil && u.isSlow() {
		return u.text(s.pacer.Rate())
	}
	if s.streams.lower.Load() {
		return lowerFor(s.warning.shortage())
	}
	return s.warning.String()
}

// send seals an access unit, in as many frames as it needs, and passes on their packets.
func (s *Sender) send(ctx context.Context, unit media.AccessUnit) error {
	s.noteKeyframe(unit)
	if unit.Keyframe {
		s.underway.Store(&underway{since: time.Now(), size: len(unit.Data)})
		defer s.underway.Store(nil)
	}

	frames := s.sealer.Cut(unit)
	// With the h264 carrier, a page gives the browser only the last piece, with the whole picture in it. A browser
	// accepts what looks like the next picture only if it got the previous one, so each piece must look like a
	// keyframe.
	key := unit.Keyframe || len(frames) > 1 && s.carrier == media.H264Carrier
	for _, f := range frames {
		sealed, err := s.sealer.Seal(f)
		if err != nil {
			return err
		}
		if err := s.sendFrame(ctx, key, sealed); err != nil {
			return err
		}
	}

	s.noteKeyframe(unit)
	return nil
}

// sendFrame passes on the packets of a sealed frame.
func (s *Sender) sendFrame(ctx context.Context, key bool, sealed []byte) error {
	s.stamp()
	payloads := s.carrier.Packetize(key, sealed)
	for i, payload := range payloads {
		s.header.SequenceNumber++
		s.header.Marker = i == len(payloads)-1
		select {
		case s.packets <- packet{s.header, payload}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}

	return nil
}

// noteKeyframe notes when a keyframe leaves.
func (s *Sender) noteKeyframe(unit media.AccessUnit) {
	if unit.Keyframe {
		now := time.Now()
		s.keyed.Store(&now)
	}
}

// stamp gives the next frame the time at which it is sent as its timestamp, so that a group of pictures sent at once is
// not played over seconds. Two frames are at least a millisecond apart. The time counts from a random origin (RFC 3550,
// section 5.1), because a wall clock would be visible to the network, and would jump when it is set.
func (s *Sender) stamp() {
	if s.began.IsZero() {
		s.began, s.origin = time.Now(), rand.Uint32()
		s.header.Timestamp = s.origin
		return
	}

	now := s.origin + uint32(time.Since(s.began).Microseconds()*9/100)
	if least := s.header.Timestamp + clockRate/1000; int32(now-least) < 0 {
		now = least
	}
	s.header.Timestamp = now
}
