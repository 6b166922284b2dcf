package stream

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/congestion"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// Frames that are sent at once must not share a timestamp, or a receiver would take them for one frame. All others
// carry the time at which they are sent. That holds for all sequence numbers, and where the timestamp wraps.
func TestTimestampsOnlyRise(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var s Sender
		s.stamp()
		for n := range 200_000 {
			before := s.header.Timestamp
			s.header.SequenceNumber = uint16(n)
			if n%3 == 0 {
				time.Sleep(time.Duration(n%7) * 33 * time.Millisecond)
			}

			s.stamp()
			if step := int32(s.header.Timestamp - before); step < clockRate/1000 {
				t.Fatalf("frame %d: %d ticks after the previous one", n, step)
			}
		}

		before, at := s.header.Timestamp, time.Now()
		time.Sleep(time.Hour)
		s.stamp()
		if want, got := time.Since(at).Seconds()*clockRate, float64(s.header.Timestamp-before); got < 0.9*want ||
			got > want {
			t.Errorf("%v ticks in an hour, want about %v", got, want)
		}
	})
}

func TestRestartsAreLimited(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := NewSender(nil, congestion.NewPacer(), media.H264Carrier, nil, discard())
		s.Restart() // before there is a subscription
		n := 0
		cancel := context.CancelFunc(func() { n++ })
		s.cancel.Store(&cancel)
		for range 1000 {
			s.Restart()
		}

		if n != 1 {
			t.Errorf("a flood of requests had %d effects, want 1", n)
		}
		time.Sleep(restartEvery + 1)
		if s.Restart(); n != 2 {
			t.Errorf("%d effects after a pause, want 2", n)
		}
	})
}

// The sender sends a group of pictures again only if the viewer gets a picture sooner that way than with the next
// keyframe, and not while a keyframe is leaving.
func TestRestartOnlyWhereItHelps(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		begin := sessiontest.Ago(0)
		time.Sleep(time.Second)
		// 1 Mbit/s, every two seconds
		half := media.Groups{Bytes: 125_000, Began: begin, Last: 250_000, Length: 2 * time.Second}
		for _, tt := range []struct {
			name   string
			groups media.Groups
			rate   float64
			keyed  time.Duration // how long ago a keyframe was sent
			want   bool
		}{
			{"a wide line", half, 8e6, 10 * time.Second, true},
			{"a line that takes longer than the rest of the group", half, 1.9e6, 10 * time.Second, false},
			{"a line that carries less than the stream", half, 0.9e6, 10 * time.Second, false},
			{"a keyframe has just left", half, 8e6, 500 * time.Millisecond, false},
			{"nothing is known of the stream", media.Groups{}, 1e5, 10 * time.Second, true},
		} {
			s := NewSender(nil, congestion.NewPacer(), media.H264Carrier, nil, discard())
			s.groups.Store(&tt.groups)
			keyed := time.Now().Add(-tt.keyed)
			s.keyed.Store(&keyed)
			if s.worthRestarting(tt.rate) != tt.want {
				t.Errorf("%s: sent again %v, want %v", tt.name, !tt.want, tt.want)
			}
		}

		s := NewSender(nil, congestion.NewPacer(), media.H264Carrier, nil, discard())
		if !s.worthRestarting(8e6) {
			t.Error("a viewer that has got nothing so far gets nothing")
		}
	})
}

// stalled runs a sender whose stream goes on while its path carries nothing for a time. It returns the last byte of
// each picture that was sent.
func stalled(t *testing.T, units []media.AccessUnit, every, still time.Duration) (sent []byte) {
	t.Helper()
	track, err := NewTrack(media.H264Carrier)
	if err != nil {
		t.Fatal(err)
	}
	b := media.NewBroadcast()
	s := NewSender(track, congestion.NewPacer(), media.H264Carrier,
		NewSelector(fixedStream{b, media.State{Live: true}}, nil), discard())
	sealer, opener := sealerAndOpener(t)
	s.SealWith(sealer)
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := s.follow(ctx, ctx); err == nil {
			t.Error("the stream ended")
		}
	})

	work.Go(func() {
		assembler := media.NewAssembler(media.H264Carrier)
		for p := range s.packets {
			frames, _ := assembler.Push(&rtp.Packet{Header: p.header, Payload: p.payload})
			for _, f := range frames {
				picture, whole, err := opener.Open(f.Sealed)
				if err != nil || !whole {
					t.Errorf("open frame: whole %v, %v", whole, err)
					continue
				}
				if sent = append(sent, picture.AccessUnit[len(picture.AccessUnit)-1]); len(sent) == 3 {
					time.Sleep(still)
				}
			}
		}
	})

	for _, u := range units {
		u.Captured = sessiontest.Clock().Now()
		b.Send(u)
		time.Sleep(every)
	}

	time.Sleep(still)
	cancel()
	synctest.Wait()
	close(s.packets)
	work.Wait()
	return sent
}

// The sender leaves out what it cannot send in time, so that the rest can be decoded: first pictures to which no other
// refers, then the rest of a group of pictures. It goes on with a keyframe.
func TestSenderLeavesOut(t *testing.T) {
	var units []media.AccessUnit
	for n := range 60 {
		u := media.AccessUnit{Data: []byte{0, 0, 0, 1, 0x61, byte(n)}, Keyframe: n%20 == 0}
		if n%2 == 1 {
			u.Data[4] = 0x01 // nal_ref_idc 0
		}
		units = append(units, u)
	}

	const every = 40 * time.Millisecond
	decodable := func(sent []byte) (left int) {
		last := byte(0)
		for _, n := range sent[1:] {
			for m := last + 1; m < n && n%20 != 0; m++ {
				if m%2 == 0 {
					t.Errorf("%d was sent without %d: %v", n, m, sent)
				}
			}
			last = n
		}

		return len(units) - len(sent)
	}

	for _, tt := range []struct {
		still       time.Duration
		least, most int // left out
	}{
		{0, 0, 0},
		{280 * time.Millisecond, 1, 4},   // some to which no other refers
		{900 * time.Millisecond, 10, 24}, // up to the keyframe that waits
	} {
		bubble.Test(t, func(t *testing.T) {
			sent := stalled(t, units, every, tt.still)
			if left := decodable(sent); left < tt.least || left > tt.most {
				t.Errorf("stalled for %v: %d left out, want %d to %d: %v", tt.still, left, tt.least, tt.most, sent)
			}
		})
	}
}

// A picture that is late by exactly as much as is allowed is sent: 150 ms if no other refers to it, and 300 ms if a
// keyframe already waits.
func TestSenderSendsWhatIsJustInTime(t *testing.T) {
	const (
		some = 150 * time.Millisecond
		much = 300 * time.Millisecond
	)
	needed := media.AccessUnit{Data: []byte{0, 0, 0, 1, 0x61}}
	spare := media.AccessUnit{Data: []byte{0, 0, 0, 1, 0x01}} // nal_ref_idc 0
	for _, tt := range []struct {
		name  string
		unit  media.AccessUnit
		late  time.Duration
		waits bool // a keyframe
		want  bool
	}{
		{"no other refers to it", spare, some, false, false},
		{"the same, later", spare, some + 1, false, true},
		{"others refer to it", needed, much + 1, false, false},
		{"a keyframe waits", needed, much, true, false},
		{"the same, later", needed, much + 1, true, true},
	} {
		b := media.NewBroadcast()
		s := NewSender(nil, congestion.NewPacer(), media.H264Carrier, NewSelector(fixedStream{Broadcast: b}, nil),
			discard())
		s.streams.open()
		if tt.waits {
			b.Send(media.AccessUnit{Data: []byte{0, 0, 0, 1, 0x65}, Keyframe: true})
		}
		if got := s.leavesOut(newLag(0), tt.unit, tt.late); got != tt.want {
			t.Errorf("%s, %v late: left out %t, want %t", tt.name, tt.late, got, tt.want)
		}
		s.streams.close()
	}
}

// If the next keyframe is far away, the sender sends delayed pictures late instead of leaving them out, because a
// minute without pictures is worse.
func TestSenderCatchesUpBetweenFarKeyframes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var units []media.AccessUnit
		for n := range 200 {
			units = append(units, media.AccessUnit{Data: []byte{0, 0, 0, 1, 0x61, byte(n)}, Keyframe: n == 0})
		}
		if sent := stalled(t, units, 40*time.Millisecond, behindTooMuch+time.Second); len(sent) != len(units) {
			t.Errorf("%d of %d pictures were sent after the path stood still", len(sent), len(units))
		}
	})
}

func TestSenderCatchesUpOnlyBeforeTheNextKeyframe(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		begin := sessiontest.Ago(0)
		time.Sleep(time.Second)
		short := media.Groups{Began: begin, Last: 250_000, Length: 2 * time.Second} // 1 Mbit/s
		long := media.Groups{Began: begin, Last: 7_500_000, Length: time.Minute}    // 1 Mbit/s
		for _, tt := range []struct {
			name    string
			groups  media.Groups
			rate    float64
			backlog int
			want    bool
		}{
			{"a wide line", short, 8e6, 250_000, true},
			{"a keyframe that comes sooner", short, 8e6, 1_000_000, false},
			{"the same, with rare keyframes", long, 8e6, 1_000_000, true},
			{"a line that carries less than the stream", long, 0.9e6, 100_000, false},
			{"the first group", media.Groups{Began: begin}, 1e6, 1_000_000, true},
			{"too much of the first group", media.Groups{Began: begin}, 1e6, 1_300_000, false},
		} {
			b := media.NewBroadcast()
			s := NewSender(nil, congestion.NewPacer(), media.H264Carrier, NewSelector(fixedStream{Broadcast: b}, nil),
				discard())
			s.streams.open()
			b.Send(media.AccessUnit{Data: make([]byte, tt.backlog), Keyframe: true, Captured: sessiontest.Ago(0)})
			if s.catchesUp(tt.rate, tt.groups) != tt.want {
				t.Errorf("%s: catches up %v, want %v", tt.name, !tt.want, tt.want)
			}
			s.streams.close()
		}
	})
}

// While a large keyframe leaves, it is not sent a second time, and the person learns how long it takes.
func TestKeyframeUnderwayIsTold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := NewSender(nil, congestion.NewPacer(), media.H264Carrier, NewSelector(nil, nil), discard())
		s.underway.Store(&underway{since: time.Now(), size: 8_000_000})
		if s.worthRestarting(8e6) || s.Trouble() != "" {
			t.Errorf("at once: sent again %v, said %q", s.worthRestarting(8e6), s.Trouble())
		}

		time.Sleep(underwayAfter + time.Second)
		const want = "one whole picture has 8.0 MB, which takes this network 6 s more: " +
			"lower the camera's resolution or bit rate, or choose its substream"
		if got := s.Trouble(); got != want { // 8 MB take 8 s at 8 Mbit/s, and 2 s have passed
			t.Errorf("said %q, want %q", got, want)
		}

		s.underway.Store(&underway{since: time.Now().Add(-time.Minute), size: handshake.MaxPiece})
		if got := s.Trouble(); got != "" {
			t.Errorf("said %q about a keyframe that is not large", got)
		}
		if s.underway.Store(nil); s.Trouble() != "" {
			t.Errorf("said %q about a keyframe that has left", s.Trouble())
		}
	})
}

// On a long path, the sender sends a requested packet three times, with pauses, because what loses a packet often loses
// its neighbours, too.
func TestSenderSpreadsCopies(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const roundTrip = 500 * time.Millisecond
		n := &negotiated{media: 7, repair: 8, extension: 3}
		p := congestion.NewPacer()
		s := NewSender(bound(t, n), p, media.VP8Carrier, nil, discard())
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { s.transmit(ctx) })
		s.packets <- packet{rtp.Header{Version: 2, SequenceNumber: 9}, []byte("sealed")}
		time.Sleep(roundTrip)
		p.Report(firstArrived(64 * time.Millisecond))
		s.SendAgain(&rtcp.TransportLayerNack{Nacks: []rtcp.NackPair{{PacketID: 9}}})

		for i := range 3 {
			synctest.Wait()
			if got := s.tally.again.Load(); got != int64(i+1) {
				t.Errorf("%d copies after %v, want %d", got, time.Duration(i)*copyApart, i+1)
			}
			time.Sleep(copyApart)
		}

		cancel()
		work.Wait()
	})
}

// A packet that cannot be sent is a line in the log. That the session ends is none, and nothing is sent after it.
func TestSenderLogsWhatItCannotSend(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := &negotiated{media: 7, repair: 8, extension: 20} // a one-byte extension has an id of at most 14
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s := NewSender(bound(t, n), congestion.NewPacer(), media.VP8Carrier, nil, log)
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { s.transmit(ctx) })

		header := rtp.Header{
			Version:          2,
			SequenceNumber:   9,
			Extension:        true,
			ExtensionProfile: rtp.ExtensionProfileOneByte,
		}
		s.packets <- packet{header, make([]byte, 100_000)}
		synctest.Wait()
		if lines := strings.Count(said.String(), "send packet"); lines != 1 {
			t.Errorf("%d lines, want one about the packet: %s", lines, said.String())
		}

		s.packets <- packet{header, []byte("waits for the pacer")}
		synctest.Wait()
		cancel()
		work.Wait()
		if lines := strings.Count(said.String(), "\n"); lines != 1 {
			t.Errorf("%d lines, although the session has only ended: %s", lines, said.String())
		}
	})
}

// A session that ends does not send again what waits for the pacer.
func TestNothingIsSentAgainAfterTheEnd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := &negotiated{media: 7, repair: 8, extension: 3}
		s := NewSender(bound(t, n), congestion.NewPacer(), media.VP8Carrier, nil, discard())
		p := packet{rtp.Header{Version: 2, SequenceNumber: 9}, make([]byte, 100_000)}
		if err := s.track.send(p, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := s.pacer.Wait(t.Context(), len(p.payload)); err != nil {
			t.Fatal(err)
		}

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.resend(ended, p); !errors.Is(err, context.Canceled) {
			t.Errorf("sent again: %v", err)
		}
		if len(n.sent) != 1 || s.tally.again.Load() != 0 {
			t.Errorf("%d packets were sent, %d of them again", len(n.sent), s.tally.again.Load())
		}
	})
}
