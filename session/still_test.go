package session

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling"
)

// gallery is a camera that answers requests for stills, and a viewer's configuration for it.
func gallery(t *testing.T, signal Signal, s Stream) StillConfig {
	t.Helper()
	ours, theirs := pairOf(t)
	box := ours.Mailbox(envelope.ToCamera, 1)
	signal.Receive(mailbox(box), func(d signaling.Delivery) bool {
		wire := d.Body
		opened, err := ours.Open(box, wire, time.Now())
		if err != nil {
			t.Errorf("open offer: %v", err)
			return true
		}
		c, err := NewCamera(CameraConfig{Pair: ours, Signal: signal, Offer: opened, OfferWire: wire, Name: "front door", Stream: s, Logger: quiet()})
		if err != nil {
			t.Errorf("take offer: %v", err)
			return true
		}
		if err := c.Run(t.Context()); err != nil && !errors.Is(err, ErrNoPicture) && !errors.Is(err, ErrStillSize) {
			t.Errorf("camera's end: %v", err)
		}
		return true
	})
	return StillConfig{Pair: theirs, Signal: signal, Inbox: mailbox(box), Box: box}
}

// showing is a stream with one picture.
func showing(picture []byte, captured time.Time) stream {
	s := stream{media.NewBroadcast(), media.State{Live: true}}
	s.Send(media.AccessUnit{Data: picture, Keyframe: true, Captured: captured})
	return s
}

// A still arrives bit for bit, however many messages it takes, and is live only if it was captured just now.
func TestStill(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		old  time.Duration
		live bool
	}{
		{"one message", 100, 0, true},
		{"a full message", chunkBytes - frameHeaderSize, 0, true},
		{"one byte more", chunkBytes - frameHeaderSize + 1, 0, true},
		{"many messages", 500_000, 0, true},
		{"old", 100, time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			picture := fresh(tt.size)
			cfg := gallery(t, newPost(t), showing(picture, time.Now().Add(-tt.old)))
			var name string
			cfg.OnName = func(n string) { name = n }
			cfg.OnReject = func(r Rejection) { t.Errorf("rejected %s: %v", r.What, r.Err) }
			f, err := Still(t.Context(), cfg)
			if err != nil || !bytes.Equal(f.AccessUnit, picture) || !f.Keyframe || f.Live != tt.live || name != "front door" {
				t.Errorf("%d bytes, keyframe %v, live %v, of %q, %v", len(f.AccessUnit), f.Keyframe, f.Live, name, err)
			}
		})
	}
}

// A camera without a picture, or with one that no mailbox takes, says so.
func TestStillRefused(t *testing.T) {
	dead := stream{media.NewBroadcast(), media.State{Err: errors.New("the camera is unplugged")}}
	dead.Close()
	for _, tt := range []struct {
		name, says string
		stream     stream
	}{
		{"none", "no picture now", dead},
		{"too large", "too large", showing(make([]byte, maxChunks*chunkBytes), time.Now())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Still(t.Context(), gallery(t, newPost(t), tt.stream))
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(refusal.Text, tt.says) {
				t.Errorf("%v, want a refusal that says %q", err, tt.says)
			}
		})
	}
}

// twisted changes what the camera posts on its way.
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

func (p twisted) SendAll(ctx context.Context, mb signaling.Mailbox, queue <-chan signaling.Outgoing, ttl time.Duration, refused func(error)) error {
	return sendEach(ctx, queue, func(body []byte) error { return p.Send(ctx, mb, body, ttl) }, refused)
}

// What is not of this still is rejected and spoils nothing; a copy is neither news nor an alarm.
func TestStillAmongOthers(t *testing.T) {
	var strange [][]byte // the messages of another household's still, of as many chunks
	record := twisted{post: newPost(t), twist: func(b []byte) [][]byte { strange = append(strange, b); return [][]byte{b} }}
	if _, err := Still(t.Context(), gallery(t, record, showing(fresh(70_000), time.Now()))); err != nil || len(strange) != 5 {
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
					return [][]byte{b} // to the camera: it has tests of its own
				}
				return tt.twist(n-1, b)
			}}
			picture := fresh(70_000)
			cfg := gallery(t, among, showing(picture, time.Now()))
			rejected := 0
			cfg.OnReject = func(r Rejection) { rejected++ }
			f, err := Still(t.Context(), cfg)
			if err != nil || !bytes.Equal(f.AccessUnit, picture) || rejected != tt.rejected {
				t.Errorf("%d bytes, %d rejected, %v; want %d rejected and the picture", len(f.AccessUnit), rejected, err, tt.rejected)
			}
		})
	}
}

// A still that never comes is an error, and one that was asked for no longer is no longer waited for.
func TestStillUnanswered(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	nobody := newPost(t)
	_, theirs := pairOf(t)
	box := theirs.Mailbox(envelope.ToCamera, 1)
	if _, err := Still(ctx, StillConfig{Pair: theirs, Signal: nobody, Inbox: mailbox(box), Box: box}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the caller's own time limit", err)
	}
}
