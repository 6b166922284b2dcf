package session

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/sframe"
	"github.com/peephole-cam/peephole/media"
)

// testSender is a sender whose track leads nowhere yet.
func testSender(t *testing.T, s *secret, first challenge) *sender {
	t.Helper()
	track, err := newTrack(media.H264Carrier)
	if err != nil {
		t.Fatal(err)
	}
	sender := newSender(track, newPacer(), media.H264Carrier, &selection{}, quiet())
	if err := sender.seal(s, first[:]); err != nil {
		t.Fatal(err)
	}
	return sender
}

// Frames that are sent at once must not share a timestamp, or they would be taken for one; others tell the time they are sent at. Over all
// sequence numbers, and over the wrap of the timestamp.
func TestTimestampsOnlyRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sender
		s.stamp()
		for n := range 200_000 {
			before := s.header.Timestamp
			s.header.SequenceNumber = uint16(n)
			if n%3 == 0 {
				time.Sleep(time.Duration(n%7) * 33 * time.Millisecond)
			}
			s.stamp()
			if step := int32(s.header.Timestamp - before); step < clockRate/1000 {
				t.Fatalf("frame %d: %d ticks after the one before", n, step)
			}
		}
		before, at := s.header.Timestamp, time.Now()
		time.Sleep(time.Hour)
		s.stamp()
		if want, got := time.Since(at).Seconds()*clockRate, float64(s.header.Timestamp-before); got < 0.9*want || got > want {
			t.Errorf("%v ticks in an hour, want about %v", got, want)
		}
	})
}

func TestOldPicturesCarryNoChallenge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSecret(t)
		first := challenge{1}
		sender := testSender(t, s, first)
		receiver, err := sframe.NewReceiver(s.cameraBaseKey(videoTrack), kid(identity.Camera, videoTrack))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range sender.packets { // nobody transmits
			}
		}()
		defer close(sender.packets)
		captured := time.Now()
		carried := func() challenge {
			t.Helper()
			if err := sender.send(t.Context(), media.AccessUnit{Data: []byte("unit"), Captured: captured}); err != nil {
				t.Fatal(err)
			}
			plain, _, err := receiver.Open(nil, s.binding(videoTrack), sender.sealed)
			if err != nil {
				t.Fatal(err)
			}
			_, c, err := parseFrame(plain)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		if c := carried(); c != first {
			t.Errorf("a new picture carries %x, want %x", c, first)
		}
		time.Sleep(LiveFor)
		sender.answerTo([]byte{2, 0, 0, 0, 0, 0, 0, 0})
		sender.answerTo([]byte{3}) // no challenge: not answered
		if c := carried(); c != (challenge{2}) {
			t.Errorf("a picture of exactly %s carries %x, want the last challenge", LiveFor, c)
		}
		time.Sleep(time.Nanosecond)
		if c := carried(); c != (challenge{}) {
			t.Errorf("a picture older than %s carries %x, want zeros", LiveFor, c)
		}
	})
}

func TestAskingAgainIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sender
		s.again() // before there is a subscription
		n := 0
		cancel := context.CancelFunc(func() { n++ })
		s.cancel.Store(&cancel)
		for range 1000 {
			s.again()
		}
		if n != 1 {
			t.Errorf("a flood of requests had %d effects, want 1", n)
		}
		time.Sleep(restartEvery + 1)
		if s.again(); n != 2 {
			t.Errorf("%d effects after a pause, want 2", n)
		}
	})
}

// A group of pictures is sent again only where it gives a picture sooner than the next keyframe, and not while a keyframe is underway.
func TestAgainOnlyWhereItHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		time.Sleep(time.Second)
		half := media.Groups{Bytes: 125_000, Began: begin, Last: 250_000, Length: 2 * time.Second} // 1 Mbit/s, every two seconds
		for _, tt := range []struct {
			name   string
			groups media.Groups
			rate   float64
			keyed  time.Duration // ago
			want   bool
		}{
			{"a wide line", half, 8e6, 10 * time.Second, true},
			{"a line that takes longer than the rest of the group", half, 1.9e6, 10 * time.Second, false},
			{"a line that carries less than the stream", half, 0.9e6, 10 * time.Second, false},
			{"a keyframe has just left", half, 8e6, 500 * ms, false},
			{"nothing is known of the stream", media.Groups{}, 1e5, 10 * time.Second, true},
		} {
			s := newSender(nil, newPacer(), media.H264Carrier, &selection{}, quiet())
			s.pacer.estimator.rate = tt.rate
			s.groups.Store(&tt.groups)
			s.keyed.Store(time.Now().Add(-tt.keyed).UnixNano())
			if s.worthIt() != tt.want {
				t.Errorf("%s: sent again %v, want %v", tt.name, !tt.want, tt.want)
			}
		}
		s := newSender(nil, newPacer(), media.H264Carrier, &selection{}, quiet())
		if !s.worthIt() {
			t.Error("a viewer for whom there was nothing yet gets nothing")
		}
	})
}

// stalled is a sender whose stream comes at its rate and whose path stands still for a time; it gives what was sent.
func stalled(t *testing.T, units []media.AccessUnit, every, still time.Duration) (sent []byte) {
	t.Helper()
	track, err := newTrack(media.H264Carrier)
	if err != nil {
		t.Fatal(err)
	}
	secret := testSecret(t)
	b := media.NewBroadcast()
	s := newSender(track, newPacer(), media.H264Carrier, &selection{main: stream{b, media.State{Live: true}}}, quiet())
	if err := s.seal(secret, make(blob, challengeSize)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := s.follow(ctx, ctx); err == nil {
			t.Error("the stream came to an end")
		}
	})
	work.Go(func() {
		receiver, err := sframe.NewReceiver(secret.cameraBaseKey(videoTrack), kid(identity.Camera, videoTrack))
		if err != nil {
			t.Error(err)
			return
		}
		assembler := media.NewAssembler(media.H264Carrier)
		for p := range s.packets {
			frames, _ := assembler.Push(&rtp.Packet{Header: p.header, Payload: p.payload})
			for _, f := range frames {
				plain, _, err := receiver.Open(nil, secret.binding(videoTrack), f.Sealed)
				if err != nil {
					t.Errorf("open frame: %v", err)
					continue
				}
				if sent = append(sent, plain[len(plain)-1]); len(sent) == 3 {
					time.Sleep(still)
				}
			}
		}
	})
	for _, u := range units {
		u.Captured = time.Now()
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

// What cannot be sent in time is left out in an order that keeps the rest decodable: pictures that are no reference first, then the rest of
// a group of pictures; and what is sent again begins with a keyframe.
func TestSenderLeavesOut(t *testing.T) {
	var units []media.AccessUnit
	for n := range 60 {
		u := media.AccessUnit{Data: []byte{0, 0, 0, 1, 0x61, byte(n)}, Keyframe: n%20 == 0}
		if n%2 == 1 {
			u.Data[4] = 0x01 // nal_ref_idc 0
		}
		units = append(units, u)
	}
	const every = 40 * ms
	decodable := func(sent []byte) (left int) {
		last := byte(0)
		for _, n := range sent[1:] {
			for m := last + 1; m < n && n%20 != 0; m++ {
				if m%2 == 0 {
					t.Errorf("%d came without %d: %v", n, m, sent)
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
		{280 * ms, 1, 4},   // some that are no reference
		{900 * ms, 10, 24}, // up to the keyframe that waits
	} {
		synctest.Test(t, func(t *testing.T) {
			sent := stalled(t, units, every, tt.still)
			if left := decodable(sent); left < tt.least || left > tt.most {
				t.Errorf("stalled for %v: %d left out, want %d to %d: %v", tt.still, left, tt.least, tt.most, sent)
			}
		})
	}
}

// From far away a packet that is asked for goes out three times, and apart: what takes one on its way often takes its neighbour too.
func TestSenderSpreadsCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const roundTrip = 500 * ms
		n := &negotiated{media: 7, repair: 8, extension: 3}
		p := newPacer()
		s := newSender(bound(t, n), p, media.VP8Carrier, nil, quiet())
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { s.transmit(ctx) })
		s.packets <- packet{rtp.Header{Version: 2, SequenceNumber: 9}, []byte("sealed")}
		time.Sleep(roundTrip)
		p.report(feedbackOf(0, 64*ms))
		s.miss(&rtcp.TransportLayerNack{Nacks: []rtcp.NackPair{{PacketID: 9}}})
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
