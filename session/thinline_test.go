package session

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/stream"
	"github.com/peephole-cam/peephole/test/bubble"
)

// screening is a session over a line, in the bubble's time.
type screening struct {
	up, down quality                                // from and to the camera
	change   func(at time.Duration, up, down *line) // called every 100 ms
	length   time.Duration
	carrier  media.Carrier
	seed     uint64
	bitrate  int // bit/s; 0 means 1 Mbit/s
	group    int // access units; 0 means 50, which is two seconds
	low      int // bit/s of a lower stream; 0 means none
}

type shown struct {
	*screen
	film     *film
	up, down *line
	from, to time.Time // from the stream's first picture to the session's end
	join     time.Duration
}

func (s screening) run(t *testing.T) *shown {
	ctx, cancel := context.WithCancel(t.Context())
	out := &shown{film: &film{
		Broadcast: media.NewBroadcast(),
		bitrate:   cmp.Or(s.bitrate, 1_000_000),
		perSecond: 25,
		group:     cmp.Or(s.group, 50),
	}}

	out.screen = &screen{film: out.film}
	var low stream.Stream
	if s.low > 0 {
		out.film.low = &film{Broadcast: media.NewBroadcast(), bitrate: s.low, perSecond: 25, group: 50}
		low = out.film.low
	}

	out.up, out.down = newLine(s.up, 2*s.seed+1), newLine(s.down, 2*s.seed+2)
	camera, viewer := newHost("192.0.2.1", out.up), newHost("192.0.2.2", out.down)
	relay := newPost(t)
	var work sync.WaitGroup
	work.Go(func() { out.up.run(ctx.Done(), viewer.deliver) })
	work.Go(func() { out.down.run(ctx.Done(), camera.deliver) })
	work.Go(func() { out.film.play(ctx) })
	time.Sleep(1300 * time.Millisecond) // into the middle of a group of pictures

	cfg := answering(t, relay, CameraConfig{
		Name:    "front door",
		Stream:  out.film,
		Low:     low,
		network: camera,
	}, &work, func(c *Camera) error {
		return c.Run(ctx)
	})

	began := time.Now()
	cfg.Carriers, cfg.network = []media.Carrier{s.carrier}, viewer
	cfg.OnFrame = func(f handshake.Frame) {
		if f.Still {
			return
		}
		if out.from.IsZero() {
			out.from = time.Now()
			out.join = out.from.Sub(began)
		}
		out.frame(f)
	}

	cfg.OnSending = func(n handshake.SendStats) {
		out.mu.Lock()
		defer out.mu.Unlock()
		out.sending = append(out.sending, n)
	}

	cfg.OnStatus = func(st Status) { out.mu.Lock(); defer out.mu.Unlock(); out.status = append(out.status, st.Text) }
	cfg.OnReject = func(r Rejection) {
		out.mu.Lock()
		defer out.mu.Unlock()
		out.rejection = append(out.rejection, r.What+": "+r.Err.Error())
	}

	v, err := NewViewer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	work.Go(func() {
		if err := v.Run(ctx); err != nil {
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

	// Cut the line, so that neither end hears that the other has left. If both end an association, pion waits for some
	// time while it holds a lock, and a bubble's time stands still while a goroutine waits for that lock.
	out.up.set(quality{loss: 1})
	out.down.set(quality{loss: 1})
	time.Sleep(500 * ms)
	cancel()
	relay.close()
	work.Wait()
	return out
}

// verdict sums up many screenings.
type verdict struct {
	gaps, late, join  []time.Duration
	captured, shown   int // pictures
	spoiled, repeated int
	up, down, film    int // bytes
	overflowed        int // packets
	rejections        []string
	status            []string // of the last screening
	minutes           float64
}

func (v *verdict) add(s *shown) {
	v.gaps, v.late, v.join = append(v.gaps, s.gaps(s.to)...), append(v.late, s.late...), append(v.join, s.join)
	v.captured, v.shown = v.captured+s.newest-s.first+1, v.shown+len(s.times)
	v.spoiled, v.repeated = v.spoiled+s.spoiled, v.repeated+s.repeated
	up, overflowed := s.up.counted()
	down, _ := s.down.counted()
	v.up, v.overflowed, v.down, v.film = v.up+up, v.overflowed+overflowed, v.down+down, v.film+s.film.bytes
	v.rejections, v.status = append(v.rejections, s.rejection...), s.status
	v.minutes += s.to.Sub(s.from).Minutes()
}

// freezes counts how often the picture stood still for longer than a second.
func (v *verdict) freezes() (n int) {
	for _, g := range v.gaps {
		if g > time.Second {
			n++
		}
	}
	return n
}

func (v *verdict) String() string {
	return fmt.Sprintf("%.1f minutes: shown %.1f %%, freezes %d, longest gap %v; behind p50 %v, p95 %v; first "+
		"picture p50 %v, longest %v; up %d kB of a film of %d kB, %d packets overflowed, down %d kB; repeated %d, "+
		"spoiled %d\ngaps, ms%s\nsaid %q, rejected %q",
		v.minutes, 100*float64(v.shown)/float64(max(1, v.captured)), v.freezes(), quantile(v.gaps, 1),
		quantile(v.late, 0.5), quantile(v.late, 0.95), quantile(v.join, 0.5), quantile(v.join, 1),
		v.up/1000, v.film/1000, v.overflowed, v.down/1000, v.repeated, v.spoiled, histogram(v.gaps), v.status,
		v.rejections)
}

const ms = time.Millisecond

// screenings is how many sessions TestThinLine runs over each line. Each loses different packets. -v prints the
// results.
var screenings = flag.Int("screenings", 1, "sessions over each line")

// both returns a line of one quality in both directions, with a queue of 200 ms.
func both(rate int, loss float64, delay time.Duration) screening {
	q := quality{rate: rate, loss: loss, delay: delay, queue: 200 * ms}
	return screening{up: q, down: q, length: 30 * time.Second}
}

func (s screening) lasting(d time.Duration) screening { s.length = d; return s }

// turning returns the screening with a line that changes its rate after ten seconds.
func (s screening) turning(rate int) screening {
	s.change = func(at time.Duration, up, down *line) {
		if q := s.up; at == 10*time.Second {
			q.rate = rate
			up.set(q)
			down.set(q)
		}
	}
	return s
}

// darkening returns a screening whose line carries nothing for d in every ten seconds.
func (s screening) darkening(d time.Duration) screening {
	s.change = func(at time.Duration, up, down *line) {
		q := s.up
		if at%(10*time.Second) >= 10*time.Second-d {
			q.loss = 1
		}
		up.set(q)
		down.set(q)
	}
	return s
}

func (s screening) of(bitrate, group int) screening { s.bitrate, s.group = bitrate, group; return s }

// A person watches a film of 1 Mbit/s over lines that can hardly carry it. Everything shown can be decoded, and no
// alarm is raised. The picture freezes only when the line itself does, and is not far behind. If the network is too
// slow, the person hears so.
func TestThinLine(t *testing.T) {
	policed := both(800_000, 0, 50*ms)
	policed.up.queue = 10 * ms
	bloated := both(800_000, 0, 50*ms)
	bloated.up.queue = 3 * time.Second
	jitter := both(3_000_000, 0, 50*ms)
	jitter.up.jitter = 100 * ms
	napping := both(2_000_000, 0.05, 50*ms)
	napping.up.naps = 300 * ms

	for i, tt := range []struct {
		name string
		screening
		shown   float64       // share of the pictures, at least
		late    time.Duration // how far half of the pictures are behind, at most
		freezes int           // at most
		told    bool
	}{
		{
			name:      "2 Mbit/s, 5 %, 100 ms there and back",
			screening: both(2_000_000, 0.05, 50*ms).lasting(time.Minute),
			shown:     0.9,
			late:      250 * ms,
		},
		{
			name:      "2 Mbit/s, 5 %, 100 ms each way",
			screening: both(2_000_000, 0.05, 100*ms).lasting(time.Minute),
			shown:     0.9,
			late:      500 * ms,
		},
		{
			name:      "2 Mbit/s, 10 %, 100 ms there and back",
			screening: both(2_000_000, 0.1, 50*ms),
			shown:     0.7,
			late:      400 * ms,
			freezes:   1,
		},
		{
			name:      "0.8 Mbit/s",
			screening: both(800_000, 0, 50*ms),
			shown:     0.55,
			late:      time.Second,
			told:      true,
		},
		{
			name:      "0.8 Mbit/s, 2 %",
			screening: both(800_000, 0.02, 50*ms),
			shown:     0.5,
			late:      time.Second,
			freezes:   1,
			told:      true,
		},
		{
			name:      "0.3 Mbit/s",
			screening: both(300_000, 0, 50*ms),
			shown:     0.12,
			late:      2 * time.Second,
			freezes:   2,
			told:      true,
		},
		{
			name:      "4 Mbit/s, then 1",
			screening: both(4_000_000, 0, 50*ms).turning(1_000_000),
			shown:     0.85,
			late:      600 * ms,
			told:      true,
		},
		{name: "0.7 Mbit/s, then 4", screening: both(700_000, 0, 50*ms).turning(4_000_000), shown: 0.7, late: 400 * ms},
		{
			name:      "0.8 Mbit/s, policed",
			screening: policed,
			shown:     0.5,
			late:      1200 * ms,
			freezes:   2,
		},
		{
			name:      "0.8 Mbit/s, a queue of 3 s",
			screening: bloated,
			shown:     0.55,
			late:      time.Second,
			told:      true,
		},
		{name: "jitter of 100 ms", screening: jitter, shown: 0.9, late: 300 * ms},
		{name: "2 Mbit/s, 5 %, napping", screening: napping, shown: 0.85, late: 500 * ms},
		{
			name:      "20 Mbit/s, 2 %, a film of 8",
			screening: both(20_000_000, 0.02, 20*ms).of(8_000_000, 0),
			shown:     0.9,
			late:      200 * ms,
		},
		{
			name:      "2 Mbit/s, 5 %, groups of 10 s",
			screening: both(2_000_000, 0.05, 50*ms).of(0, 250),
			shown:     0.85,
			late:      700 * ms,
		},
		{
			name:      "dark for 1.5 s every 10 s",
			screening: both(2_000_000, 0, 50*ms).darkening(1500 * ms),
			shown:     0.75,
			late:      300 * ms,
			freezes:   3,
		},
	} {
		if testing.Short() && i%2 > 0 {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			var v verdict
			for n := range *screenings {
				bubble.Test(t, func(t *testing.T) {
					tt.seed, tt.carrier = uint64(n), []media.Carrier{media.H264Carrier, media.VP8Carrier}[n%2]
					v.add(tt.run(t))
				})
			}

			t.Log(&v)
			if n := v.freezes(); n > tt.freezes**screenings {
				t.Errorf("%d freezes, the longest of %v", n, quantile(v.gaps, 1))
			}
			if v.shown == 0 || v.spoiled > 0 || len(v.rejections) > 0 {
				t.Errorf("%d pictures shown, %d not decodable, rejected: %q", v.shown, v.spoiled, v.rejections)
			}

			if share := float64(v.shown) / float64(v.captured); share < tt.shown {
				t.Errorf("%.0f %% of the pictures are shown", 100*share)
			}
			if late := quantile(v.late, 0.5); late > tt.late {
				t.Errorf("half of the pictures are shown %v after they were captured", late)
			}

			if told := len(v.status) > 0 && strings.Contains(v.status[0], "too slow"); tt.told && !told ||
				tt.shown >= 0.85 && !tt.told && told {
				t.Errorf("the person was told %q", v.status)
			}
		})
	}
}

// Over a line with enough room, every picture from the last keyframe on is shown when it arrives.
func TestWideLine(t *testing.T) {
	for name, s := range map[string]screening{
		"no delay":          both(0, 0, 0),
		"50 ms":             both(0, 0, 50*ms),
		"8 Mbit/s, 150 ms":  both(8_000_000, 0, 150*ms),
		"10 Gbit/s, 150 ms": both(10_000_000_000, 0, 150*ms),
	} {
		for _, carrier := range []media.Carrier{media.H264Carrier, media.VP8Carrier} {
			t.Run(name+", "+carrier.String(), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					var v verdict
					s.carrier = carrier
					shown := s.run(t)
					v.add(shown)
					if v.shown != v.captured || v.repeated > 0 || v.spoiled > 0 || v.freezes() > 0 ||
						len(v.rejections) > 0 || len(v.status) > 0 {
						t.Error(&v)
					}

					if behind := len(shown.film.shot) - shown.newest; behind > 2+
						int((s.up.delay+2*time.Second)*time.Duration(shown.film.perSecond)/time.Second) {
						t.Errorf("%d pictures have not come yet", behind)
					}
					if late := quantile(v.late, 0.5); late > s.up.delay+10*ms {
						t.Errorf("half of the pictures are shown %v after they were captured", late)
					}
				})
			})
		}
	}
}

// No two packets of a stream go out under the same number, whatever is lost. Under AES-GCM, a second packet with a
// different header would reveal the key that authenticates the first. Retransmissions have their own stream.
func TestNoPacketNumberTwice(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := both(2_000_000, 0.1, 50*ms)
		s.carrier = media.H264Carrier
		packets := make(map[[6]byte]bool) // stream and number
		streams := make(map[[4]byte]int)
		s.change = func(at time.Duration, up, _ *line) {
			if at > 0 {
				return
			}
			up.mu.Lock()
			defer up.mu.Unlock()
			up.tap = func(p []byte) {
				// not RTP: RTCP (RFC 5761, section 4) or neither
				if len(p) < 12 || p[0]>>6 != 2 || p[1] >= 192 && p[1] < 224 {
					return
				}
				id := [6]byte(append(append([]byte(nil), p[8:12]...), p[2:4]...))
				if packets[id] {
					t.Errorf("packet %x of stream %x goes out twice", p[2:4], p[8:12])
				}

				packets[id] = true
				streams[[4]byte(p[8:12])]++
			}
		}

		s.run(t)
		var sizes []int
		for _, n := range streams {
			sizes = append(sizes, n)
		}

		if slices.Sort(sizes); len(sizes) != 2 || sizes[0] < 100 || sizes[1] < 2000 {
			t.Errorf("streams of %d packets; want the film's and one of retransmissions", sizes)
		}
	})
}
