package session

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/test/bubble"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// largeDelivery is what became of a large picture, and of a small message that was sent behind it.
type largeDelivery struct{ picture, message time.Duration }

// plainStream is a stream whose pictures the test sends itself.
type plainStream struct{ *media.Broadcast }

func (plainStream) State() media.State { return media.State{Live: true} }

// send sends a picture of a certain size, in bytes.
func (s plainStream) send(size int, key bool) {
	data := append(make([]byte, 0, size), 0, 0, 0, 1, 0x41)
	if key {
		data[4] = 0x65
	}
	s.Send(media.AccessUnit{Data: data[:size], Keyframe: key, Captured: sessiontest.Clock().Now()})
}

const (
	warmUp     = 5 * time.Second
	smallEvery = 40 * time.Millisecond // small pictures of 1 Mbit/s
	smallSize  = 5000
	quitAfter  = time.Minute
)

// warm sends small pictures for a while, so that the congestion control has seen the line.
func warm(send func(size int)) {
	for range warmUp / smallEvery {
		send(smallSize)
		time.Sleep(smallEvery)
	}
}

// hosts makes two hosts that are connected until ctx ends. cut disconnects them.
func (q quality) hosts(ctx context.Context, work *sync.WaitGroup) (camera, viewer *host, cut func()) {
	up, down := newLine(q, 1), newLine(q, 2)
	camera, viewer = newHost("192.0.2.1", up), newHost("192.0.2.2", down)
	work.Go(func() { up.run(ctx.Done(), viewer.deliver) })
	work.Go(func() { down.run(ctx.Done(), camera.deliver) })
	return camera, viewer, func() {
		up.set(quality{loss: 1})
		down.set(quality{loss: 1})
		time.Sleep(500 * ms)
	}
}

// overTrack sends the picture as a session does, and the message as its data channel's records go.
func overTrack(t *testing.T, q quality, size int) (out largeDelivery) {
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	from, to, cut := q.hosts(ctx, &work)
	relay := newPost(t)
	defer relay.close()

	film := plainStream{media.NewBroadcast()}
	film.send(smallSize, true)
	running := make(chan *Camera, 1)
	cfg := answering(t, relay, CameraConfig{Stream: film, network: from}, &work, func(c *Camera) error {
		running <- c
		return c.Run(ctx)
	})

	began, shown, heard := make(chan struct{}), make(chan time.Time, 1), make(chan time.Time, 1)
	begin := sync.OnceFunc(func() { close(began) })
	cfg.Carriers, cfg.network = []media.Carrier{media.H264Carrier}, to
	cfg.OnFrame = func(f handshake.Frame) {
		switch {
		case len(f.AccessUnit) >= size:
			shown <- time.Now()
		case !f.Still:
			begin()
		}
	}
	cfg.OnStatus = func(s Status) {
		if s.Code == "behind" {
			heard <- time.Now()
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

	camera := <-running
	for first := true; first; { // the first picture may be lost, and nothing behind it would show that
		select {
		case <-began:
			first = false
		case <-time.After(smallEvery):
			film.send(smallSize, true)
		}
	}
	warm(func(size int) { film.send(size, false) })
	sent := time.Now()
	film.send(size, true)
	time.Sleep(20 * ms) // by now the picture is on its way
	if err := camera.sendData(handshake.Message{Type: "status", Code: "behind"}); err != nil {
		t.Fatal(err)
	}

	out = largeDelivery{since(t, shown, sent), since(t, heard, sent.Add(20*ms))}
	cut()
	return out
}

// overChannel sends the picture over a reliable data channel of pion's, and the message over another one of the same
// connection.
func overChannel(t *testing.T, q quality, size int) (out largeDelivery) {
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	near, far, cut := q.hosts(ctx, &work)
	from, to := plainPeer(t, near), plainPeer(t, far)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	pictures, err := from.CreateDataChannel("pictures", nil)
	check(err)
	records, err := from.CreateDataChannel("records", nil)
	check(err)
	opened := make(chan struct{}, 2)
	for _, c := range []*webrtc.DataChannel{pictures, records} {
		c.OnOpen(func() { opened <- struct{}{} })
	}

	shown, heard := make(chan time.Time, 1), make(chan time.Time, 1)
	to.OnDataChannel(func(c *webrtc.DataChannel) {
		c.OnMessage(func(m webrtc.DataChannelMessage) {
			switch {
			case c.Label() == "records":
				heard <- time.Now()
			case len(m.Data) == 1: // the end of the picture
				shown <- time.Now()
			}
		})
	})

	join(t, from, to)
	<-opened
	<-opened
	warm(func(size int) { check(pictures.Send(make([]byte, size))) })
	sent := time.Now()
	for piece := range slices.Chunk(make([]byte, size), 60_000) {
		check(pictures.Send(piece))
	}
	check(pictures.Send([]byte{1}))
	time.Sleep(20 * ms)
	check(records.Send([]byte{1}))

	out = largeDelivery{since(t, shown, sent), since(t, heard, sent.Add(20*ms))}
	cut()
	check(from.GracefulClose())
	check(to.GracefulClose())
	return out
}

// join hands the descriptions from one end to the other.
func join(t *testing.T, from, to *webrtc.PeerConnection) {
	t.Helper()
	pass := func(by, to *webrtc.PeerConnection, d webrtc.SessionDescription, err error) {
		t.Helper()
		gathered := webrtc.GatheringCompletePromise(by)
		if err == nil {
			err = by.SetLocalDescription(d)
		}
		if err != nil {
			t.Fatal(err)
		}

		<-gathered
		if err := to.SetRemoteDescription(*by.LocalDescription()); err != nil {
			t.Fatal(err)
		}
	}

	offer, err := from.CreateOffer(nil)
	pass(from, to, offer, err)
	answer, err := to.CreateAnswer(nil)
	pass(to, from, answer, err)
}

// since waits for something that happens after a certain time, and returns how long after; quitAfter at most.
func since(t *testing.T, happened <-chan time.Time, sent time.Time) time.Duration {
	t.Helper()
	select {
	case at := <-happened:
		return at.Sub(sent)
	case <-time.After(quitAfter):
		return quitAfter
	}
}

// A large picture goes over RTP and not over a data channel, because it arrives much sooner if packets are lost, and
// about as soon if none are. Records do not wait behind it. -v prints the times.
func TestLargePictureIsSoonerThanOverADataChannel(t *testing.T) {
	if bubble.RaceDetector {
		t.Skip("sends 90 MB, which takes minutes under the race detector; TestThinLine covers the same code")
	}
	for _, tt := range []struct {
		name string
		quality
		most float64 // how long the picture may take, in terms of what it takes over a data channel
	}{
		{"200 Mbit/s, 10 ms", quality{rate: 200_000_000, delay: 5 * ms, queue: 200 * ms}, 2},
		{"50 Mbit/s, 40 ms", quality{rate: 50_000_000, delay: 20 * ms, queue: 200 * ms}, 2},
		{"50 Mbit/s, 40 ms, 0.5 %", quality{rate: 50_000_000, delay: 20 * ms, queue: 200 * ms, loss: 0.005}, 0.5},
		{"20 Mbit/s, 100 ms, 1 %", quality{rate: 20_000_000, delay: 50 * ms, queue: 200 * ms, loss: 0.01}, 0.5},
	} {
		sizes := []int{3_000_000, 8_000_000}
		if testing.Short() {
			sizes = sizes[:1]
		}
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s, %d MB", tt.name, size/1_000_000), func(t *testing.T) {
				var track, channel largeDelivery
				bubble.Test(t, func(t *testing.T) { track = overTrack(t, tt.quality, size) })
				bubble.Test(t, func(t *testing.T) { channel = overChannel(t, tt.quality, size) })

				t.Logf("over RTP: the picture after %v, a record behind it after %v; over a data channel: %v and %v",
					track.picture, track.message, channel.picture, channel.message)
				if float64(track.picture) > tt.most*float64(channel.picture) {
					t.Errorf("over RTP the picture took %v, over a data channel %v", track.picture, channel.picture)
				}
				if limit := tt.delay + 200*ms; track.message > limit {
					t.Errorf("a record behind the picture took %v, more than %v", track.message, limit)
				}
			})
		}
	}
}
