package session

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/stream"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// gallery makes a camera that answers requests for stills, and returns a viewer's configuration for it.
func gallery(t *testing.T, signal Signal, s stream.Stream) StillConfig {
	t.Helper()
	ours, theirs := sessiontest.Pair(t)
	box := ours.Mailbox(envelope.ToCamera, 1)
	signal.Receive(mailbox(box), func(d signaling.Delivery) bool {
		wire := d.Body
		opened, err := ours.Open(box, wire, time.Now())
		if err != nil {
			t.Errorf("open offer: %v", err)
			return true
		}

		c, err := NewCamera(CameraConfig{
			Pair:      ours,
			Signal:    signal,
			Offer:     opened,
			OfferWire: wire,
			Name:      "front door",
			Stream:    s,
			Logger:    quiet(),
		})
		if err != nil {
			t.Errorf("accept offer: %v", err)
			return true
		}

		if err := c.Run(t.Context()); err != nil && !errors.Is(err, ErrNoPicture) && !errors.Is(err, ErrStillSize) {
			t.Errorf("camera's end: %v", err)
		}
		return true
	})

	return StillConfig{Pair: theirs, Signal: signal, Inbox: mailbox(box), Box: box}
}

// showing returns a stream that has sent one picture.
func showing(picture []byte, captured clock.Moment) broadcast {
	s := broadcast{media.NewBroadcast(), media.State{Live: true}}
	s.Send(media.AccessUnit{Data: picture, Keyframe: true, Captured: captured})
	return s
}

// wholeChunk is how many bytes of a picture fill one chunk, after the frame's header.
const wholeChunk = 32_000 - 19

// A still arrives bit for bit, however many messages it takes. It is live only if it was captured just now.
func TestStill(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		old  time.Duration // the age of the keyframe; the picture behind it is half as old
		next bool          // the still includes the picture behind it
		live bool
	}{
		{"one message", 100, 0, false, true},
		{"a full message", wholeChunk, 0, false, true},
		{"one byte more", wholeChunk + 1, 0, false, true},
		{"many messages", 500_000, 0, false, true},
		{"a keyframe as old as may be", 100, handshake.LiveFor, false, true},
		{"an older keyframe", 100, handshake.LiveFor + 1, true, true},
		{"a much older one", 100, 2 * handshake.LiveFor, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			picture, machine := sessiontest.Random(tt.size), &sessiontest.Machine{}
			s := showing(picture, machine.Clock().Now())
			machine.Run(tt.old / 2)
			s.Send(media.AccessUnit{Data: []byte("the next"), Captured: machine.Clock().Now()})
			machine.Run(tt.old - tt.old/2)
			cfg := gallery(t, newPost(t), s)
			var name string
			cfg.OnName = func(n string) { name = n }
			cfg.OnReject = func(r Rejection) { t.Errorf("rejected %s: %v", r.What, r.Err) }
			f, err := Still(t.Context(), cfg)
			if tt.next {
				picture = append(picture, "the next"...)
			}

			if err != nil || !bytes.Equal(f.AccessUnit, picture) || !f.Keyframe || f.Live() != tt.live ||
				name != "front door" {
				t.Errorf("%d bytes, keyframe %v, live %v, of %q, %v", len(f.AccessUnit), f.Keyframe, f.Live(), name,
					err)
			}
		})
	}
}

// A camera without a picture, or with one that is too large for a mailbox, says so.
func TestStillRefused(t *testing.T) {
	dead := broadcast{media.NewBroadcast(), media.State{Err: errors.New("the camera is unplugged")}}
	dead.Close()
	for _, tt := range []struct {
		name, says string
		stream     broadcast
	}{
		{"none", "The camera has no picture now. no video yet: the camera is unplugged", dead},
		{"none before the next keyframe", "There is no picture so far: one comes every 90 s.", broadcast{dead.Broadcast,
			media.State{Live: true, Joining: "one comes every 90 s"}}},
		{"too large", "The picture is too large for a still: watch instead.",
			showing(make([]byte, handshake.MaxStill+1), clock.Now())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Still(t.Context(), gallery(t, newPost(t), tt.stream))
			var refusal *handshake.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(refusal.Text, tt.says) {
				t.Errorf("%v, want a refusal that says %q", err, tt.says)
			}
		})
	}
}

// twisted changes what the camera posts on its way to the viewer.
type twisted struct {
	*post
	twist func(body []byte) [][]byte
}

func (p twisted) Send(ctx context.Context, mb signaling.Mailbox, body []byte, ttl time.Duration) error {
	for _, b := range p.twist(body) {
		if err := p.post.Send(ctx, mb, b, ttl); err != nil {
			return err
		}
	}
	return nil
}

func (p twisted) SendAll(ctx context.Context, mb signaling.Mailbox, queue <-chan signaling.Outgoing, ttl time.Duration,
	refused func(error)) error {
	return sendEach(ctx, queue, func(body []byte) error { return p.Send(ctx, mb, body, ttl) }, refused)
}

// What does not belong to this still is rejected, and spoils nothing. A copy is no reason for alarm.
func TestStillAmongOthers(t *testing.T) {
	var strange [][]byte // the messages of another household's still with as many chunks
	record := twisted{post: newPost(t), twist: func(b []byte) [][]byte {
		strange = append(strange, b)
		return [][]byte{b}
	}}
	if _, err := Still(t.Context(), gallery(t, record, showing(sessiontest.Random(70_000), clock.Now()))); err != nil ||
		len(strange) != 5 {
		t.Fatalf("%d messages, %v; want offer, answer and three chunks", len(strange), err)
	}

	for _, tt := range []struct {
		name     string
		rejected int
		twist    func(n int, b []byte) [][]byte // the n-th message: 0 the offer, 1 the answer, then the chunks
	}{
		{"each after a stranger's", 4, func(n int, b []byte) [][]byte { return [][]byte{strange[n], b} }},
		{"twice each", 0, func(n int, b []byte) [][]byte { return [][]byte{b, b} }},
		{"each after one with a bit flipped", 4, func(n int, b []byte) [][]byte {
			bad := bytes.Clone(b)
			bad[len(bad)-1] ^= 1
			return [][]byte{bad, b}
		}},
		{"each after one cut short", 4, func(n int, b []byte) [][]byte { return [][]byte{b[:len(b)-1], b} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			among := twisted{post: newPost(t), twist: func(b []byte) [][]byte {
				n++
				if n == 1 {
					return [][]byte{b} // the offer goes to the camera, which has its own tests
				}
				return tt.twist(n-1, b)
			}}

			picture := sessiontest.Random(70_000)
			cfg := gallery(t, among, showing(picture, clock.Now()))
			rejected := 0
			cfg.OnReject = func(r Rejection) { rejected++ }
			f, err := Still(t.Context(), cfg)
			if err != nil || !bytes.Equal(f.AccessUnit, picture) || rejected != tt.rejected {
				t.Errorf("%d bytes, %d rejected, %v; want %d rejected and the picture", len(f.AccessUnit), rejected,
					err, tt.rejected)
			}
		})
	}
}

// A request for a still ends when its context does.
func TestStillUnanswered(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	nobody := newPost(t)
	_, theirs := sessiontest.Pair(t)
	box := theirs.Mailbox(envelope.ToCamera, 1)
	if _, err := Still(ctx, StillConfig{
		Pair:   theirs,
		Signal: nobody,
		Inbox:  mailbox(box),
		Box:    box,
	}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the caller's own time limit", err)
	}
}
