package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

const (
	// A viewer who joins gets a whole group of pictures at once. Between bursts of burstBytes the sender pauses, so that
	// the group does not overrun the socket buffers on the way.
	burstBytes = 32 << 10
	burstPause = 2 * time.Millisecond
	// restartEvery limits how often a viewer can ask for the group of pictures again.
	restartEvery = 500 * time.Millisecond
)

// sender seals access units and writes them to the track.
type sender struct {
	track   *webrtc.TrackLocalStaticRTP
	carrier media.Carrier
	stream  Stream
	log     *slog.Logger
	answers atomic.Pointer[challenge]          // the viewer's last
	cancel  atomic.Pointer[context.CancelFunc] // ends the present subscription

	restarted time.Time // owned by the session's goroutine

	sealer    *sframe.Sender
	binding   []byte
	plaintext []byte // reused
	sealed    []byte // reused
	header    rtp.Header
	stamped   bool // header.Timestamp is an earlier frame's
	burst     int
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

// again sends the current group of pictures once more, at most every restartEvery. The session's goroutine calls it.
func (s *sender) again() {
	if cancel := s.cancel.Load(); cancel != nil && time.Since(s.restarted) > restartEvery {
		s.restarted = time.Now()
		(*cancel)()
	}
}

// run sends until ctx ends or the stream does. It subscribes anew for a viewer who has lost the thread.
func (s *sender) run(ctx context.Context) {
	s.header = rtp.Header{Version: 2}
	for ctx.Err() == nil {
		following, cancel := context.WithCancel(ctx)
		s.cancel.Store(&cancel)
		err := s.follow(following)
		cancel()
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (s *sender) follow(ctx context.Context) error {
	subscription := s.stream.Subscribe()
	defer subscription.Close()
	for {
		unit, err := subscription.Next(ctx)
		if err != nil {
			return err
		}
		if err := s.send(ctx, unit); err != nil {
			s.log.Debug("send frame", "err", err)
		}
	}
}

func (s *sender) send(ctx context.Context, unit media.AccessUnit) error {
	s.plaintext = appendFrame(s.plaintext[:0], unit, answerOf(unit, *s.answers.Load()))
	sealed, err := s.sealer.Seal(s.sealed[:0], s.binding, s.plaintext)
	if err != nil {
		return err
	}
	s.sealed = sealed
	s.stamp()
	payloads := s.carrier.Packetize(unit.Keyframe, sealed)
	for i, payload := range payloads {
		s.header.SequenceNumber++
		s.header.Marker = i == len(payloads)-1
		if err := s.track.WriteRTP(&rtp.Packet{Header: s.header, Payload: payload}); err != nil {
			return fmt.Errorf("write packet: %w", err)
		}
		s.pace(ctx, len(payload))
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

func (s *sender) pace(ctx context.Context, sent int) {
	if s.burst += sent; s.burst < burstBytes {
		return
	}
	s.burst = 0
	pause := time.NewTimer(burstPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}
