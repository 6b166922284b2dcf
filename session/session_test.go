package session

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/noleak"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// TestMain fails if a session has left a goroutine behind.
func TestMain(m *testing.M) { noleak.Main(m) }

// patience is how long a test waits before it ends what hangs.
const patience = 2 * time.Minute

// broadcast is a camera's stream that repeats one access unit.
type broadcast struct {
	*media.Broadcast
	state media.State
}

func (s broadcast) State() media.State { return s.state }

func (s broadcast) play(ctx context.Context) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		s.Send(media.AccessUnit{Data: []byte("a picture"), Keyframe: true, Captured: sessiontest.Clock().Now()})
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// house is a camera that answers the first offer, and a viewer's configuration for it.
type house struct {
	*post
	ways     Signal // what the camera's end uses
	inbox    signaling.Name
	onReject func(Rejection) // the camera's
	onPath   func(path.Path) // the camera's
	hides    bool            // the camera hides its address
	hosts    func(held []byte) *HostList
	offered  bulk.Source  // what the camera offers to fetch
	camera   chan error   // how the camera's end ended
	served   chan *Camera // the camera's end
	viewer   ViewerConfig
}

func newHouse(t *testing.T, camera *CameraConfig, log *slog.Logger) *house {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h := &house{post: newPost(t), camera: make(chan error, 1), served: make(chan *Camera, 1)}
	h.ways = h.post
	var work sync.WaitGroup
	t.Cleanup(func() { cancel(); h.close(); work.Wait() })
	ours, theirs := sessiontest.Pair(t)
	box := ours.Mailbox(envelope.ToCamera, 1)
	s := broadcast{media.NewBroadcast(), media.State{Live: true}}
	work.Go(func() { s.play(ctx) })
	h.inbox = mailbox(box).Name()

	h.Receive(mailbox(box), func(d signaling.Delivery) bool {
		wire := d.Body
		opened, err := ours.Open(box, wire, time.Now())
		if err != nil {
			t.Errorf("open offer: %v", err)
			return true
		}

		*camera = CameraConfig{
			Pair:      ours,
			Signal:    h.ways,
			Offer:     opened,
			OfferWire: wire,
			Name:      "front door",
			Stream:    s,
			Loopback:  true,
			Logger:    log,
			OnReject:  h.onReject,
			OnPath:    h.onPath,
			RelayOnly: h.hides,
			HostList:  h.hosts,
			Offered:   h.offered,
			Busy:      func() bool { return false },
		}

		work.Go(func() {
			c, err := NewCamera(*camera)
			if err == nil {
				h.served <- c
				err = c.Run(ctx)
			}
			h.camera <- err
		})

		return true
	})

	h.viewer = ViewerConfig{
		Pair:     theirs,
		Signal:   h,
		Inbox:    mailbox(box),
		Box:      box,
		Carriers: []media.Carrier{media.H264Carrier},
		Loopback: true,
		Logger:   log,
	}

	return h
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Both ends of a session agree, the picture arrives bit for bit and live, each end learns that the other left, and
// neither leaves anything running (TestMain).
func TestSession(t *testing.T) {
	var camera CameraConfig
	log := &locked{w: new(bytes.Buffer)}
	h := newHouse(t, &camera, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	var frames []handshake.Frame
	live := 0 // how many frames were live when they came
	h.viewer.OnFrame = func(f handshake.Frame) {
		if f.Live() {
			live++
		}
		if frames = append(frames, f); len(frames) == 20 {
			cancel()
		}
	}

	h.viewer.OnReject = func(r Rejection) { t.Errorf("rejected %s: %v", r.What, r.Err) }
	v, err := NewViewer(h.viewer)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Run(ctx); err != nil {
		t.Errorf("viewer's end: %v", err)
	}

	if err := <-h.camera; err != nil {
		t.Errorf("camera's end: %v", err)
	}
	if len(frames) < 20 {
		t.Fatalf("%d frames", len(frames))
	}

	for _, f := range frames {
		if string(f.AccessUnit) != "a picture" || !f.Keyframe {
			t.Fatalf("shown: %+v", f)
		}
	}

	if live < len(frames) {
		t.Errorf("%d of %d pictures were live", live, len(frames))
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	all := bytes.Join(h.sent, nil)
	for _, secret := range []string{"front door", "v=0", "candidate", "fingerprint", "a picture"} {
		if bytes.Contains(all, []byte(secret)) {
			t.Errorf("the relay saw %q", secret)
		}
	}

	for _, secret := range []string{"front door", "v=0", "Pwd", "ice-pwd", "fingerprint:"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer // guarded by mu
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.String()
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// Both ends stop when their context ends, before the answer or at any later moment, and leave nothing running.
func TestSessionCutShort(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		var camera CameraConfig
		h := newHouse(t, &camera, quiet())
		ctx, cancel := context.WithTimeout(t.Context(), after)
		h.viewer.OnFrame = func(handshake.Frame) {}
		v, err := NewViewer(h.viewer)
		if err != nil {
			t.Fatal(err)
		}

		if err := v.Run(ctx); err != nil {
			t.Errorf("ended after %s: %v", after, err)
		}
		cancel()
	}
}

// silent is a relay that delivers a flood of messages before it accepts one.
type silent struct {
	*post
	flood int
}

func (s *silent) Send(ctx context.Context, mb signaling.Mailbox, _ []byte, _ time.Duration) error {
	// As with *signaling.Client, one goroutine delivers messages and reads the relay's answers, so the answer comes
	// after everything that was delivered before it.
	reading := make(chan struct{})
	s.work.Go(func() {
		defer close(reading)
		s.mu.Lock()
		handlers := make([]func(signaling.Delivery) bool, 0, 1)
		for _, h := range s.handlers {
			handlers = append(handlers, h)
		}
		s.mu.Unlock()
		for range s.flood {
			for _, handle := range handlers {
				handle(signaling.Delivery{Body: []byte("of no one")})
			}
		}
	})

	select {
	case <-reading:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A relay that sends more than a session can hold before it accepts the offer blocks nothing: everything that it sends
// is rejected and reported.
func TestFloodBeforeTheOfferIsAcceptedBlocksNothing(t *testing.T) {
	_, theirs := sessiontest.Pair(t)
	relay := &silent{newPost(t), 1000}
	box := theirs.Mailbox(envelope.ToCamera, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	rejected := 0
	v, err := NewViewer(ViewerConfig{
		Pair:     theirs,
		Signal:   relay,
		Inbox:    mailbox(box),
		Box:      box,
		Carriers: []media.Carrier{media.VP8Carrier},
		Loopback: true,
		Logger:   quiet(),
		OnReject: func(Rejection) {
			if rejected++; rejected == relay.flood {
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	if err := v.Run(ctx); err != nil || rejected != relay.flood {
		t.Errorf("%d of %d rejections reported, error %v", rejected, relay.flood, err)
	}
}

func TestRelayRefusesTheOffer(t *testing.T) {
	_, theirs := sessiontest.Pair(t)
	relay := newPost(t)
	relay.refuse = &signaling.Error{Code: signaling.CodeQuota, Text: "quota used up"}
	box := theirs.Mailbox(envelope.ToCamera, 1)
	v, err := NewViewer(ViewerConfig{
		Pair:     theirs,
		Signal:   relay,
		Inbox:    mailbox(box),
		Box:      box,
		Carriers: []media.Carrier{media.VP8Carrier},
		Logger:   quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}

	if err := v.Run(t.Context()); !errors.Is(err, relay.refuse) {
		t.Errorf("%v, want %v", err, relay.refuse)
	}
}

func TestNewCameraRefuses(t *testing.T) {
	ours, theirs := sessiontest.Pair(t)
	plays := func(carriers ...string) []byte {
		_, received := offered(t, ours, theirs, handshake.Offer{SDP: "v=0", Carriers: carriers})
		return received.Opened.Body
	}
	serve := func(body []byte) (*Camera, error) {
		opened := envelope.Opened{Message: envelope.Message{Body: body}}
		return NewCamera(CameraConfig{Pair: ours, Logger: quiet(), Offer: opened})
	}

	for _, tt := range []struct {
		name string
		body []byte
		err  error
	}{
		{"what is no offer", []byte("{}"), handshake.ErrMalformed},
		{"an empty body", nil, handshake.ErrMalformed},
		{"a viewer that can play nothing of ours", plays("av1"), ErrNoCarrier},
	} {
		if _, err := serve(tt.body); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
	}

	c, err := serve(plays("av1", "vp8", "h264"))
	if err != nil || c.carrier != media.VP8Carrier {
		t.Errorf("the first carrier that this camera makes: %v, %v; want %v", c, err, media.VP8Carrier)
	}
}

// Whatever SDP a paired viewer sends ends only its own session, with an error.
func TestCameraRunRefuses(t *testing.T) {
	ours, theirs := sessiontest.Pair(t)
	sdps := []string{"v=0", "nonsense",
		"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
		strings.Repeat("m=", 1000)}
	for _, sdp := range sdps {
		_, received := offered(t, ours, theirs, handshake.Offer{SDP: sdp, Carriers: []string{"h264", "vp8"}})
		c, err := NewCamera(CameraConfig{
			Pair:   ours,
			Signal: newPost(t),
			Logger: quiet(),
			Stream: broadcast{media.NewBroadcast(), media.State{}},
			Offer:  received.Opened,
		})
		if err != nil {
			t.Fatal(err)
		}

		if err := c.Run(t.Context()); !errors.Is(err, ErrOffer) {
			t.Errorf("a session with the SDP %q: %v, want %v", sdp[:min(20, len(sdp))], err, ErrOffer)
		}
	}
}

// A camera cannot choose a carrier that was not offered.
func TestViewerRefusesAnotherCarrier(t *testing.T) {
	_, theirs := sessiontest.Pair(t)
	v, err := NewViewer(ViewerConfig{Pair: theirs, Carriers: []media.Carrier{media.VP8Carrier}, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for carrier, ok := range map[string]bool{"h264": false, "": false, "vp8": true} {
		_, viewer := agreed(t)
		err := v.agree(t.Context(), &handshake.Answer{Carrier: carrier}, viewer)
		if ok != (err == nil) ||
			!ok && (!errors.Is(err, handshake.ErrMalformed) || !strings.Contains(err.Error(), " was not offered")) {
			t.Errorf("carrier %q: %v", carrier, err)
		}
	}

	if !slices.Equal(v.cfg.Carriers, []media.Carrier{media.VP8Carrier}) {
		t.Error("the offer was changed")
	}
}

// A session has one data channel, agreed on beforehand. If an end opens another, which would cost the other end memory,
// the session ends.
func TestAnotherDataChannelEndsTheSession(t *testing.T) {
	var camera CameraConfig
	h := newHouse(t, &camera, quiet())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var v *Viewer
	var once sync.Once

	h.viewer.OnFrame = func(f handshake.Frame) {
		if f.Still {
			return
		}
		once.Do(func() {
			if _, err := v.peer.pc.CreateDataChannel("another", nil); err != nil {
				t.Error(err)
			}
		})
	}

	v, err := NewViewer(h.viewer)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()

	select {
	case err := <-h.camera:
		if !errors.Is(err, ErrChannel) {
			t.Errorf("the camera's end: %v, want %v", err, ErrChannel)
		}
	case <-ctx.Done():
		t.Error("the camera goes on")
	}

	cancel()
	if err := <-ended; err != nil && !errors.Is(err, ErrLost) {
		t.Errorf("the viewer's end: %v", err)
	}
}
