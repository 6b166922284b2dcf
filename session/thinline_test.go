package session

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling"
)

// screening is one session over a line, in the bubble's time.
type screening struct {
	up, down quality                                // from and to the camera
	change   func(at time.Duration, up, down *line) // called every 100 ms
	length   time.Duration
	carrier  media.Carrier
}

type shown struct {
	*screen
	film     *film
	up, down *line
	from, to time.Time // of the session, from its first picture on
	join     time.Duration
}

func (s screening) run(t *testing.T) *shown {
	ctx, cancel := context.WithCancel(t.Context())
	out := &shown{film: &film{Broadcast: media.NewBroadcast(), bitrate: 1_000_000, perSecond: 25, group: 50}}
	out.screen = &screen{film: out.film}
	out.up, out.down = newLine(s.up, 1), newLine(s.down, 2)
	camera, viewer := newHost("192.0.2.1", out.up), newHost("192.0.2.2", out.down)
	relay := newPost(t)
	var work sync.WaitGroup
	work.Go(func() { out.up.run(ctx.Done(), viewer.deliver) })
	work.Go(func() { out.down.run(ctx.Done(), camera.deliver) })
	work.Go(func() { out.film.play(ctx) })
	time.Sleep(1300 * time.Millisecond) // in the midst of a group of pictures

	ours, theirs := pairOf(t)
	box := ours.Mailbox(envelope.ToCamera, 1)
	relay.Receive(mailbox(box), func(d signaling.Delivery) bool {
		opened, err := ours.Open(box, d.Body, time.Now())
		if err != nil {
			t.Errorf("open offer: %v", err)
			return true
		}
		work.Go(func() {
			c, err := NewCamera(CameraConfig{Pair: ours, Signal: relay, Offer: opened, OfferWire: d.Body, Name: "front door", Stream: out.film, Logger: quiet(), network: camera})
			if err == nil {
				err = c.Run(ctx)
			}
			if err != nil {
				t.Errorf("camera's end: %v", err)
			}
		})
		return true
	})
	began := time.Now()
	v, err := NewViewer(ViewerConfig{Pair: theirs, Signal: relay, Inbox: mailbox(box), Box: box, Carriers: []media.Carrier{s.carrier}, Logger: quiet(), network: viewer,
		OnFrame: func(f Frame) {
			if out.from.IsZero() {
				out.from = time.Now()
				out.join = out.from.Sub(began)
			}
			out.frame(f)
		},
		OnStatus: func(st Status) { out.mu.Lock(); defer out.mu.Unlock(); out.status = append(out.status, st.Text) },
		OnReject: func(r Rejection) {
			out.mu.Lock()
			defer out.mu.Unlock()
			out.rejection = append(out.rejection, r.What+": "+r.Err.Error())
		}})
	if err != nil {
		t.Fatal(err)
	}
	watching, stop := context.WithCancel(ctx)
	work.Go(func() {
		if err := v.Run(watching); err != nil {
			t.Errorf("viewer's end: %v", err)
		}
	})
	for at := time.Duration(0); at < s.length; at += 100 * time.Millisecond {
		if s.change != nil {
			s.change(at, out.up, out.down)
		}
		time.Sleep(100 * time.Millisecond)
	}
	out.to = time.Now()
	stop()
	time.Sleep(2 * time.Second) // both say goodbye
	cancel()
	relay.close()
	work.Wait()
	return out
}

func (s *shown) report(t *testing.T) {
	gaps := s.gaps(s.to)
	freezes, worst := 0, time.Duration(0)
	for _, g := range gaps {
		if g > time.Second {
			freezes++
		}
		worst = max(worst, g)
	}
	t.Logf("join %v, captured %d, shown %d, repeated %d, spoiled %d, freezes %d, worst gap %v, late p50 %v p95 %v max %v; film %d kB, line up %d kB (%d overflowed), down %d kB\ngaps ≤ms%s\nstatus %q rejections %q",
		s.join.Round(time.Millisecond), len(s.film.shot), len(s.times), s.repeated, s.spoiled, freezes, worst.Round(time.Millisecond),
		quantile(s.late, 0.5), quantile(s.late, 0.95), quantile(s.late, 1), s.film.bytes/1000, s.up.sent/1000, s.up.overflowed, s.down.sent/1000, histogram(gaps), s.status, s.rejection)
}

// verify is what is true of every screening: what is shown is decodable and never stands still for long, and nobody is alarmed.
func (s *shown) verify(t *testing.T) {
	t.Helper()
	for _, g := range s.gaps(s.to) {
		if g > time.Second {
			t.Errorf("a freeze of %v", g)
		}
	}
	if len(s.times) == 0 || s.spoiled > 0 || len(s.rejection) > 0 {
		t.Errorf("%d pictures shown, %d not decodable, rejected: %q", len(s.times), s.spoiled, s.rejection)
	}
}

// elapsed is how many pictures are captured in a time.
func (s *shown) elapsed(d time.Duration) int {
	return int(d * time.Duration(s.film.perSecond) / time.Second)
}

const ms = time.Millisecond

// Over a line that has room, every picture from the last keyframe on is shown, when it comes.
func TestWideLine(t *testing.T) {
	for name, q := range map[string]quality{
		"no delay":          {},
		"50 ms":             {delay: 50 * ms},
		"8 Mbit/s, 150 ms":  {delay: 150 * ms, rate: 8_000_000, queue: 200 * ms},
		"10 Gbit/s, 300 ms": {delay: 300 * ms, rate: 10_000_000_000, queue: 200 * ms},
	} {
		for _, carrier := range []media.Carrier{media.H264Carrier, media.VP8Carrier} {
			t.Run(name+", "+carrier.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					shown := screening{up: q, down: q, length: 20 * time.Second, carrier: carrier}.run(t)
					shown.report(t)
					shown.verify(t)
					if all := shown.newest - shown.first + 1; len(shown.times) != all || shown.repeated > 0 {
						t.Errorf("%d of %d pictures were shown, %d came again", len(shown.times), all, shown.repeated)
					}
					if behind := len(shown.film.shot) - shown.newest; behind > 2+shown.elapsed(q.delay+2*time.Second) {
						t.Errorf("%d pictures have not come yet", behind)
					}
					if late := quantile(shown.late, 0.5); late > q.delay+10*ms {
						t.Errorf("half of the pictures are shown %v after they were captured", late)
					}
				})
			})
		}
	}
}
