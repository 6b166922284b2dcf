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

	"go.uber.org/goleak"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling"
)

// TestMain fails when a session has left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stream is a camera's picture of one access unit, again and again.
type stream struct {
	*media.Broadcast
	state media.State
}

func (s stream) State() media.State { return s.state }

func (s stream) play(ctx context.Context) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		s.Send(media.AccessUnit{Data: []byte("a picture"), Keyframe: true, Captured: time.Now()})
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
	inbox    signaling.Name
	onReject func(Rejection) // the camera's
	onPath   func(Path)      // the camera's
	hides    bool            // the camera does
	camera   chan error      // how the camera's end ended
	viewer   ViewerConfig
}

func newHouse(t *testing.T, camera *CameraConfig, log *slog.Logger) *house {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h := &house{post: newPost(t), camera: make(chan error, 1)}
	var work sync.WaitGroup
	t.Cleanup(func() { cancel(); h.close(); work.Wait() })
	ours, theirs := pairOf(t)
	box := ours.Mailbox(envelope.ToCamera, 1)
	s := stream{media.NewBroadcast(), media.State{Live: true}}
	work.Go(func() { s.play(ctx) })
	h.inbox = mailbox(box).Name()
	h.Receive(mailbox(box), func(d signaling.Delivery) bool {
		wire := d.Body
		opened, err := ours.Open(box, wire, time.Now())
		if err != nil {
			t.Errorf("open offer: %v", err)
			return true
		}
		*camera = CameraConfig{Pair: ours, Signal: h, Offer: opened, OfferWire: wire, Name: "front door", Stream: s, Loopback: true, Logger: log, OnReject: h.onReject, OnPath: h.onPath, RelayOnly: h.hides}
		work.Go(func() {
			c, err := NewCamera(*camera)
			if err == nil {
				err = c.Run(ctx)
			}
			h.camera <- err
		})
		return true
	})
	h.viewer = ViewerConfig{Pair: theirs, Signal: h, Inbox: mailbox(box), Box: box, Carriers: []media.Carrier{media.H264Carrier}, Loopback: true, Logger: log}
	return h
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Both ends of a session agree, the picture arrives bit for bit and live, each end hears that the other left, and nothing of either end is left
// running (TestMain).
func TestSession(t *testing.T) {
	var camera CameraConfig
	log := &locked{w: new(bytes.Buffer)}
	h := newHouse(t, &camera, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var frames []Frame
	h.viewer.OnFrame = func(f Frame) {
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
		if string(f.AccessUnit) != "a picture" || !f.Live || !f.Keyframe {
			t.Fatalf("shown: %+v", f)
		}
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

// Both ends end when their context does, before anybody answers and in the midst of it, and leave nothing running.
func TestSessionCutShort(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		var camera CameraConfig
		h := newHouse(t, &camera, quiet())
		ctx, cancel := context.WithTimeout(t.Context(), after)
		h.viewer.OnFrame = func(Frame) {}
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

// silent is a relay that delivers without end and never says that it has a message.
type silent struct {
	*post
	flood int
}

func (s *silent) Send(ctx context.Context, mb signaling.Mailbox, _ []byte, _ time.Duration) error {
	// As with *signaling.Client, one goroutine delivers and takes answers: the answer is behind what was delivered before.
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

// A relay that sends more than a session keeps, before it takes the offer, stops nobody: what it sends is rejected and told.
func TestRelayFloodsBeforeItTakesTheOffer(t *testing.T) {
	_, theirs := pairOf(t)
	relay := &silent{newPost(t), 1000}
	box := theirs.Mailbox(envelope.ToCamera, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	rejected := 0
	v, err := NewViewer(ViewerConfig{Pair: theirs, Signal: relay, Inbox: mailbox(box), Box: box, Carriers: []media.Carrier{media.VP8Carrier}, Loopback: true,
		Logger: quiet(), OnReject: func(Rejection) {
			if rejected++; rejected == relay.flood {
				cancel()
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Run(ctx); err != nil || rejected != relay.flood {
		t.Errorf("%d of %d rejections told, error %v", rejected, relay.flood, err)
	}
}

func TestRelayRefusesTheOffer(t *testing.T) {
	_, theirs := pairOf(t)
	relay := newPost(t)
	relay.refuse = &signaling.Error{Code: signaling.CodeQuota, Text: "quota used up"}
	box := theirs.Mailbox(envelope.ToCamera, 1)
	v, err := NewViewer(ViewerConfig{Pair: theirs, Signal: relay, Inbox: mailbox(box), Box: box, Carriers: []media.Carrier{media.VP8Carrier}, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Run(t.Context()); !errors.Is(err, relay.refuse) {
		t.Errorf("%v, want %v", err, relay.refuse)
	}
}

// A camera whose clock is a day behind is watched all the same: its answer is dated no earlier than the offer.
func TestCameraClockBehind(t *testing.T) {
	ours, theirs := pairOf(t)
	sent := time.Now().Add(24 * time.Hour) // the viewer's time
	id := envelope.SessionID(fresh(16))
	out := ours.SessionMailbox(envelope.ToViewer, id)
	cfg := CameraConfig{Pair: ours, Offer: envelope.Opened{Message: envelope.Message{Session: id, Sent: sent}}}
	wire, err := sealReply(cfg, envelope.TypeRefuse, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Open(out, wire, sent.Add(time.Second)); err != nil {
		t.Errorf("open reply: %v", err)
	}
}

func TestNewCameraRefuses(t *testing.T) {
	ours, _ := pairOf(t)
	for _, tt := range []struct {
		name string
		body func() []byte
		err  error
	}{
		{"what is no offer", func() []byte { return []byte("{}") }, ErrMalformed},
		{"an empty body", func() []byte { return nil }, ErrMalformed},
		{"a viewer that can play nothing of ours", func() []byte { o := anOffer(); o.Carriers = []string{"av1"}; return encoded(t, o) }, ErrNoCarrier},
	} {
		if _, err := NewCamera(CameraConfig{Pair: ours, Logger: quiet(), Offer: envelope.Opened{Message: envelope.Message{Body: tt.body()}}}); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
	}
	o := anOffer()
	o.Carriers = []string{"av1", "vp8", "h264"}
	c, err := NewCamera(CameraConfig{Pair: ours, Logger: quiet(), Offer: envelope.Opened{Message: envelope.Message{Body: encoded(t, o)}}})
	if err != nil || c.carrier != media.VP8Carrier {
		t.Errorf("the first carrier that this camera makes: %v, %v; want %v", c, err, media.VP8Carrier)
	}
}

// What a paired viewer sends as SDP or KEM key ends its own session with an error, and nothing else.
func TestCameraRunRefuses(t *testing.T) {
	ours, _ := pairOf(t)
	sdps := []string{"v=0", "nonsense", "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n", strings.Repeat("m=", 1000)}
	for _, sdp := range sdps {
		o := anOffer()
		o.SDP = sdp
		c, err := NewCamera(CameraConfig{Pair: ours, Signal: newPost(t), Logger: quiet(), Stream: stream{media.NewBroadcast(), media.State{}},
			Offer: envelope.Opened{Message: envelope.Message{Body: encoded(t, o)}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context()); err == nil {
			t.Errorf("a session began with the SDP %q", sdp[:min(20, len(sdp))])
		}
	}
}

// A camera cannot choose a carrier that was not offered.
func TestViewerRefusesAnotherCarrier(t *testing.T) {
	_, theirs := pairOf(t)
	v, err := NewViewer(ViewerConfig{Pair: theirs, Carriers: []media.Carrier{media.VP8Carrier}, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	enc, _, err := encapsulate(v.handshake.kem.PublicKey().Bytes(), v.handshake.id)
	if err != nil {
		t.Fatal(err)
	}
	for carrier, ok := range map[string]bool{"h264": false, "": false, "vp8": true} {
		err := v.agree(&answer{Enc: enc, Random: fresh(32), Carrier: carrier}, nil)
		if ok != (err == nil) || !ok && !errors.Is(err, ErrMalformed) {
			t.Errorf("carrier %q: %v", carrier, err)
		}
	}
	if !slices.Equal(v.cfg.Carriers, []media.Carrier{media.VP8Carrier}) {
		t.Error("the offer was changed")
	}
}
