package session

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	pionmedia "github.com/pion/webrtc/v4/pkg/media"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/bubble"
)

// phases are the phases of a start, in the order in which they end.
var phases = []string{"first picture", "answered", "checked", "connected", "stream"}

// stopwatch records when each phase first ended.
type stopwatch struct {
	began time.Time
	mu    sync.Mutex
	took  map[string]time.Duration // guarded by mu
}

func newStopwatch() *stopwatch {
	return &stopwatch{began: time.Now(), took: make(map[string]time.Duration)}
}

func (s *stopwatch) end(phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.took[phase]; !ended {
		s.took[phase] = time.Since(s.began)
	}
}

func (s *stopwatch) has(phase string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ended := s.took[phase]
	return ended
}

// mail is signaling with a delay: messages arrive some time later, in order.
type mail struct {
	*post
	queue chan func()
	delay time.Duration
}

func newMail(ctx context.Context, t *testing.T, delay time.Duration, work *sync.WaitGroup) mail {
	m := mail{newPost(t), make(chan func(), 1024), delay}
	work.Go(func() {
		for {
			select {
			case send := <-m.queue:
				send()
			case <-ctx.Done():
				return
			}
		}
	})

	return m
}

func (m mail) Send(ctx context.Context, mb signaling.Mailbox, body []byte, ttl time.Duration) error {
	due := time.Now().Add(m.delay)
	m.queue <- func() {
		time.Sleep(time.Until(due)) // the bubble's clock
		_ = m.post.Send(ctx, mb, body, ttl)
	}
	return nil
}

func (m mail) SendAll(ctx context.Context, mb signaling.Mailbox, queue <-chan signaling.Outgoing, ttl time.Duration,
	refused func(error)) error {
	return sendEach(ctx, queue, func(body []byte) error { return m.Send(ctx, mb, body, ttl) }, refused)
}

// lineOf makes two hosts that are connected until ctx ends, with a round trip between them. cut disconnects them.
func lineOf(ctx context.Context, roundTrip time.Duration, work *sync.WaitGroup) (camera, viewer *host, cut func()) {
	return quality{delay: roundTrip / 2}.hosts(ctx, work)
}

// startOurs runs one of our sessions from the offer to the first frame of the stream.
func startOurs(t *testing.T, roundTrip time.Duration) *stopwatch {
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	camera, viewer, cut := lineOf(ctx, roundTrip, &work)
	relay := newMail(ctx, t, roundTrip/2, &work)
	defer relay.close()

	film := &film{Broadcast: media.NewBroadcast(), bitrate: 300_000, perSecond: 25, group: 50}
	work.Go(func() { film.play(ctx) })
	time.Sleep(time.Second)
	cfg := answering(t, relay, CameraConfig{Stream: film, network: camera}, &work, func(c *Camera) error {
		return c.Run(ctx)
	})
	watch := newStopwatch()
	cfg.Carriers, cfg.network = []media.Carrier{media.H264Carrier}, viewer
	cfg.OnPhase = watch.end

	cfg.OnFrame = func(f handshake.Frame) {
		if f.Still {
			watch.end("first picture")
		} else {
			watch.end("stream")
		}
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

	await(watch)
	cut()
	return watch
}

// await lets the bubble's time pass until the stream has begun, but at most a minute.
func await(watch *stopwatch) {
	for range 6000 {
		if watch.has("stream") {
			return
		}
		time.Sleep(10 * ms)
	}
}

// startPlain runs what pion does by itself between the same hosts, with default settings and all candidates in the
// offer and the answer.
func startPlain(t *testing.T, roundTrip time.Duration) *stopwatch {
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	camera, viewer, cut := lineOf(ctx, roundTrip, &work)
	offerer, answerer := plainPeer(t, viewer), plainPeer(t, camera)
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video",
		"video")
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)

	_, err = answerer.AddTrack(track)
	check(err)
	_, err = offerer.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	check(err)

	watch := newStopwatch()
	offerer.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
		if s == webrtc.ICEConnectionStateConnected {
			watch.end("checked")
		}
	})
	offerer.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			watch.end("connected")
		}
	})
	offerer.OnTrack(func(*webrtc.TrackRemote, *webrtc.RTPReceiver) { watch.end("stream") }) // at its first packet
	answerer.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			work.Go(func() { sendPlain(ctx, track) })
		}
	})

	hand := func(from, to *webrtc.PeerConnection, make func() (webrtc.SessionDescription, error)) {
		description, err := make()
		check(err)
		gathered := webrtc.GatheringCompletePromise(from)
		check(from.SetLocalDescription(description))
		<-gathered
		time.Sleep(roundTrip / 2)
		check(to.SetRemoteDescription(*from.LocalDescription()))
	}

	hand(offerer, answerer, func() (webrtc.SessionDescription, error) { return offerer.CreateOffer(nil) })
	hand(answerer, offerer, func() (webrtc.SessionDescription, error) { return answerer.CreateAnswer(nil) })
	watch.end("answered")
	await(watch)
	cut()
	check(offerer.GracefulClose())
	check(answerer.GracefulClose())
	return watch
}

func plainPeer(t *testing.T, network *host) *webrtc.PeerConnection {
	t.Helper()
	var s webrtc.SettingEngine
	s.SetNet(network)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	return pc
}

func sendPlain(ctx context.Context, track *webrtc.TrackLocalStaticSample) {
	ticker := time.NewTicker(5 * ms)
	defer ticker.Stop()
	for {
		_ = track.WriteSample(pionmedia.Sample{Data: []byte{0, 0, 0, 1, 0x65, 1, 2, 3}, Duration: 5 * ms})
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// TestStart measures how many round trips each phase of a start takes, with our code and with plain pion. It measures
// in the bubble's time, in which computing takes none.
func TestStart(t *testing.T) {
	for _, roundTrip := range []time.Duration{0, 50 * ms, 150 * ms} {
		var rows []string
		for _, one := range []struct {
			name  string
			start func(*testing.T, time.Duration) *stopwatch
			most  map[string]time.Duration // round trips
		}{
			{"plain pion", startPlain, map[string]time.Duration{"stream": 6}},
			{"ours", startOurs,
				map[string]time.Duration{"first picture": 1, "answered": 1, "checked": 3, "connected": 5, "stream": 5}},
		} {
			t.Run(fmt.Sprintf("%s, %v", one.name, roundTrip), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					watch := one.start(t, roundTrip)
					row := one.name
					for _, phase := range phases {
						took, ended := watch.took[phase]
						if !ended {
							row += " | "
							continue
						}
						row += fmt.Sprintf(" | %v", took)
						if roundTrip > 0 {
							row += fmt.Sprintf(" (%.2f)", float64(took)/float64(roundTrip))
						}
					}

					rows = append(rows, row)
					for phase, most := range one.most {
						// the 5 ms are for pacing
						if took, ended := watch.took[phase]; !ended || took > most*roundTrip+5*ms {
							t.Errorf("%s after %v, want %d round trips at most", phase, took, most)
						}
					}
				})
			})
		}
		t.Logf("round trip %v: %s\n%s", roundTrip, strings.Join(phases, " | "), strings.Join(rows, "\n"))
	}
}
