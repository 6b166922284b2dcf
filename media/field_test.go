package media

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
	"github.com/peephole-cam/peephole/test/bubble"
)

// nals returns the access units of a test stream, as lists of NAL units.
func nals(t *testing.T, codec, file string) [][][]byte {
	t.Helper()
	stream, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return rtsptest.Split(codec, stream)
}

// cameraFeed is a Feed of a camera that is reached without a network, so that it works in a bubble of testing/synctest.
type cameraFeed struct {
	*Feed
	camera *rtsptest.Camera
	begun  time.Time
	stop   func()

	said   sync.Mutex // guards states
	states []string   // each with the second in which it began
}

// sentences returns the states so far.
func (f *cameraFeed) sentences() []string {
	f.said.Lock()
	defer f.said.Unlock()
	return slices.Clone(f.states)
}

// drain empties a subscription's queue.
func drain(s *Subscription) (units []AccessUnit) {
	for {
		unit, ok := s.Waiting()
		if !ok {
			return units
		}
		units = append(units, unit)
	}
}

// feedCamera runs a Feed of a camera until the test in the bubble ends.
func feedCamera(t *testing.T, o rtsptest.Options) *cameraFeed {
	t.Helper()
	f := &cameraFeed{camera: rtsptest.NewPipe(t, o), begun: time.Now()}
	opener := Opener{
		dial:  func(context.Context, string, string) (net.Conn, error) { return f.camera.Connect(), nil },
		clock: clock.New(func() time.Duration { return time.Since(f.begun) }, time.Now),
	}
	source, err := opener.Open(t.Context(), "rtsp://camera/live")
	if err != nil {
		t.Fatal(err)
	}

	f.Feed = NewFeed(source, FeedOptions{OnState: func(s State) {
		f.said.Lock()
		defer f.said.Unlock()
		f.states = append(f.states, time.Since(f.begun).Round(time.Second).String()+" "+s.String())
	}})

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	f.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(f.stop)

	return f
}

// next returns the next picture, and how long the camera has been connected.
func (f *cameraFeed) next(t *testing.T, s *Subscription) (AccessUnit, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	unit, err := s.Next(ctx)
	if err != nil {
		t.Fatalf("%v; states %q", err, f.sentences())
	}
	return unit, time.Since(f.begun)
}

// TestFirstPictureComesAtOnce: whatever else a camera sends, and however rarely it sends pictures.
func TestFirstPictureComesAtOnce(t *testing.T) {
	silent := func(rtpmap string) string { return "m=audio 0 RTP/AVP 97\r\n" + rtpmap + "a=control:trackID=1\r\n" }
	rows := []struct {
		name    string
		options rtsptest.Options
	}{
		{"15 pictures a second", rtsptest.Options{FPS: 15}},
		{"8 pictures a second", rtsptest.Options{FPS: 8}},
		{"5 pictures a second", rtsptest.Options{FPS: 5}},
		{"3 pictures a second", rtsptest.Options{FPS: 3}},
		{"2 pictures a second", rtsptest.Options{FPS: 2}},
		{"one picture a second", rtsptest.Options{FPS: 1}},
		{"one picture every 5 s", rtsptest.Options{FPS: 0.2}},
		{"one picture every 20 s", rtsptest.Options{FPS: 0.05}},
		{"silent PCMA", rtsptest.Options{FPS: 15, Media: silent("a=rtpmap:97 PCMA/8000\r\n")}},
		{"silent AAC", rtsptest.Options{FPS: 15,
			Media: silent("a=rtpmap:97 MPEG4-GENERIC/16000/1\r\na=fmtp:97 mode=AAC-hbr;config=1408\r\n")}},
		{"silent Opus", rtsptest.Options{FPS: 15, Media: silent("a=rtpmap:97 opus/48000/2\r\n")}},
		{"sound of no known kind", rtsptest.Options{FPS: 15, Media: silent("a=rtpmap:97 G726-16/8000\r\n")}},
		{"a metadata track", rtsptest.Options{FPS: 15,
			Media: "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:meta\r\n"}},
		{"parameter sets in the description alone", rtsptest.Options{FPS: 5, Fmtp: "sprop", Units: func() [][][]byte {
			units := nals(t, "H264", "rtsp/testdata/slices.h264")
			return append([][][]byte{slices.Concat(units[0][:2], units[0][3:])}, units[1:]...)
		}(), Mutate: func(n int, p []rtsptest.Packet) []rtsptest.Packet {
			return slices.DeleteFunc(p, func(p rtsptest.Packet) bool {
				return p.Payload[0]&0x1f == 7 || p.Payload[0]&0x1f == 8
			})
		}}},
		{"the description's are of another stream", rtsptest.Options{FPS: 5,
			Fmtp: "packetization-mode=1;sprop-parameter-sets=Z0IACtkehA==,aMuDyyA="}},
		{"the description's are half", rtsptest.Options{FPS: 5,
			Fmtp: "packetization-mode=1;sprop-parameter-sets=Z0IACtkehA==,"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if row.options.Units == nil {
				row.options.Units = nals(t, "H264", "rtsp/testdata/slices.h264")
			}
			bubble.Test(t, func(t *testing.T) {
				feed := feedCamera(t, row.options)
				s := feed.Subscribe()
				unit, after := feed.next(t, s)
				if !unit.Keyframe || after > 300*time.Millisecond {
					t.Errorf("the first picture came after %v", after)
				}

				if !bytes.Contains(unit.Data, []byte{0, 0, 0, 1, 0x67}) ||
					!bytes.Contains(unit.Data, []byte{0, 0, 0, 1, 0x68}) {
					t.Error("the first picture has no parameter sets")
				}
				time.Sleep(2 * time.Minute)
				if want := []string{"0s live"}; !slices.Equal(feed.sentences(), want) || feed.State().Dropped != 0 {
					t.Errorf("states %q, %d pictures dropped", feed.sentences(), feed.State().Dropped)
				}

				if s := feed.State(); s.Joining != "" || s.Note != "" {
					t.Errorf("a viewer hears %q, %q", s.Joining, s.Note)
				}
				if setups := feed.camera.Asked("SETUP"); setups != 1 {
					t.Errorf("%d tracks were set up", setups)
				}
			})
		})
	}
}

// A camera with one keyframe a minute still has a picture at once for its first subscriber, and for later ones.
func TestGroupOfAMinuteIsKept(t *testing.T) {
	units := nals(t, "H264", "rtsp/testdata/slices.h264")
	minute := slices.Clone(units)
	for len(minute) < 900 {
		minute = append(minute, units[1+len(minute)%(len(units)-1)])
	}

	bubble.Test(t, func(t *testing.T) {
		feed := feedCamera(t, rtsptest.Options{FPS: 15, Units: minute})
		if _, after := feed.next(t, feed.Subscribe()); after > 300*time.Millisecond {
			t.Errorf("the first picture came after %v", after)
		}
		time.Sleep(50 * time.Second)
		late := feed.Subscribe()
		unit, _ := feed.next(t, late)
		if queued := len(drain(late)); !unit.Keyframe || queued < 740 {
			t.Errorf("a subscriber that joins after 50 s gets %d pictures", queued)
		}
	})
}

// A group stays current as long as the camera is heard, however old its last picture is.
func TestGroupOfASlowCameraStaysCurrent(t *testing.T) {
	units := nals(t, "H264", "rtsp/testdata/slices.h264")
	bubble.Test(t, func(t *testing.T) {
		feed := feedCamera(t, rtsptest.Options{FPS: 0.05, Units: units})
		for n := range 10 { // between two pictures
			time.Sleep(time.Duration(n+1)*20*time.Second - time.Since(feed.begun) - time.Second)
			if got := len(drain(feed.Subscribe())); got != n+1 {
				t.Fatalf("a subscriber that joins after %v gets %d pictures, want %d", time.Since(feed.begun), got, n+1)
			}
		}
	})
}

// If the group is too large to keep, the State says so, and how long the next keyframe can take.
func TestStateSaysThatNewSubscribersMustWait(t *testing.T) {
	units := nals(t, "H264", "rtsp/testdata/slices.h264")
	large := slices.Clone(units[1])
	large[1] = append(slices.Clone(large[1]), bytes.Repeat([]byte{0x55}, 500_000)...)
	minute := slices.Concat(units[:1], slices.Repeat([][][]byte{large}, 59))
	bubble.Test(t, func(t *testing.T) {
		feed := feedCamera(t, rtsptest.Options{FPS: 1, Units: minute, MTU: 60000})
		time.Sleep(20 * time.Second)
		if said := feed.State().Joining; said != "" {
			t.Errorf("there is a group, but the state says %q", said)
		}

		time.Sleep(30 * time.Second)
		const first = "the picture starts with the camera's next keyframe, which can take 1 to 60 s: " +
			"to shorten the wait, set its keyframe interval (GOP) to 2 s"
		if said := feed.State().Joining; said != first {
			t.Errorf("the state says %q", said)
		}

		time.Sleep(time.Minute)
		if said := feed.State().Joining; said !=
			"the picture starts with the camera's next keyframe, one comes every 60 s" {
			t.Errorf("the state says %q", said)
		}

		if _, ok := feed.Subscribe().Waiting(); ok || feed.State().String() != "live" {
			t.Error("a torn group was handed out")
		}
	})
}

// A stream without IDR pictures is shown from its first recovery point.
func TestGradualRefreshIsShown(t *testing.T) {
	units := nals(t, "H264", "testdata/refresh.h264") // recovery points are pictures 10, 25, 40 and 55
	bubble.Test(t, func(t *testing.T) {
		feed := feedCamera(t, rtsptest.Options{FPS: 15, Units: units, Fmtp: "packetization-mode=1", Once: true})
		s := feed.Subscribe()
		unit, after := feed.next(t, s)
		if !unit.Keyframe || after < 600*time.Millisecond || after > time.Second {
			t.Errorf("the first picture came after %v", after)
		}

		if note := feed.State().Note; !strings.Contains(note, "switch off intra refresh") {
			t.Errorf("viewers whose browser cannot show it hear %q", note)
		}
		time.Sleep(5 * time.Second)
		rest := drain(s)
		if dropped := feed.State().Dropped; dropped != 10 || len(rest) != len(units)-11 {
			t.Errorf("%d pictures dropped, %d shown", dropped, 1+len(rest))
		}

		keys := 0
		for _, u := range rest {
			if u.Keyframe {
				keys++
			}
		}

		if keys != 3 {
			t.Errorf("%d recovery points follow, want 3", keys)
		}
	})
}

// The State says within 2 s why there is no picture.
func TestStateSaysWhyThereIsNoPicture(t *testing.T) {
	units := nals(t, "H264", "rtsp/testdata/slices.h264")
	noKey := slices.Repeat([][][]byte{units[1]}, 30*15)
	seldom := slices.Concat(noKey, units)
	bare := append([][][]byte{units[0][3:]}, units[1:]...)
	refuse := func(method, status string) func(*rtsptest.Exchange) {
		return func(e *rtsptest.Exchange) {
			if e.Method == method {
				e.Status = status
			}
		}
	}

	rows := []struct {
		name    string
		options rtsptest.Options
		want    []string // successive states
	}{
		{"no keyframe for half a minute", rtsptest.Options{Units: seldom}, []string{
			"1s no video yet: waiting for the camera's next keyframe, which can take 1 to 60 s: to shorten the wait,",
			"30s live",
		}},
		{"no packet for 20 s", rtsptest.Options{Units: units, Delay: 20 * time.Second}, []string{
			"1s no video yet: the camera is connected but has sent no picture yet, which can take 1 to 60 s: " +
				"if it takes longer, restart the camera",
			"20s live",
		}},
		{"no parameter sets", rtsptest.Options{Units: bare}, []string{
			"1s no video yet: the camera's pictures lack their parameter sets",
		}},
		{"H.265", rtsptest.Options{Units: units, Codec: "H265"}, []string{
			"0s no video yet: read rtsp://camera/…: the camera sends H.265: " +
				"set its encoder to H.264, or start with -transcode",
		}},
		{"JPEG", rtsptest.Options{Units: units, Codec: "JPEG"}, []string{
			"0s no video yet: read rtsp://camera/…: the input's video is not H.264 but JPEG",
		}},
		{"no such path", rtsptest.Options{Units: units, Answer: refuse("DESCRIBE", "404 Stream Not Found")}, []string{
			"0s no video yet: read rtsp://camera/…: the camera has no stream under this path (404 Stream Not Found)",
		}},
		{"too many viewers", rtsptest.Options{Units: units, Answer: refuse("SETUP", "453 Not Enough Bandwidth")},
			[]string{
				"0s no video yet: read rtsp://camera/…: " +
					"the camera has no room for another viewer (453 Not Enough Bandwidth)",
			}},
		{"a password is wanted", rtsptest.Options{Units: units, Auth: &rtsptest.Auth{User: "u", Password: "p"}},
			[]string{
				"0s no video yet: read rtsp://camera/…: the camera wants a user name and a password: " +
					"rtsp://USER:PASSWORD@",
			}},
		{"no track of video", rtsptest.Options{Units: units, SDP: "v=0\r\nm=audio 0 RTP/AVP 0\r\n"}, []string{
			"0s no video yet: read rtsp://camera/…: the input has no video",
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				row.options.FPS = 15
				feed := feedCamera(t, row.options)
				time.Sleep(35 * time.Second)
				said := feed.sentences()
				for n, want := range row.want {
					if n >= len(said) || !strings.HasPrefix(said[n], want) {
						t.Fatalf("states %q, want %q", feed.sentences(), row.want)
					}
				}
			})
		})
	}
}

// The state says how long the wait for a keyframe can take as soon as two keyframes have come, and not before. A
// keyframe that was requested, or that follows a gap, does not show how often they come.
func TestPeriodIsMeasuredBetweenKeyframesThatCameByThemselves(t *testing.T) {
	units := nals(t, "H264", "rtsp/testdata/slices.h264")
	group := slices.Concat(units[:1], slices.Repeat(units[1:2], 15*10-1)) // ten seconds
	bubble.Test(t, func(t *testing.T) {
		lossy := func(n int, p []rtsptest.Packet) []rtsptest.Packet {
			if n == 5*15 || n == 35*15 {
				return p[1:]
			}
			return p
		}
		feed := feedCamera(t, rtsptest.Options{FPS: 15, Units: group, Mutate: lossy})

		for _, tt := range []struct {
			after time.Duration
			want  string
		}{
			{8 * time.Second, "no video: packets from the camera were lost: waiting for its next keyframe, " +
				"which can take 1 to 60 s: to shorten the wait, set"},
			{18 * time.Second, "live"},
			{38 * time.Second, "no video: packets from the camera were lost: waiting for its next keyframe, " +
				"one comes every 10 s"},
		} {
			time.Sleep(tt.after - time.Since(feed.begun))
			if said := feed.State().String(); !strings.Contains(said, tt.want) {
				t.Errorf("after %v the state is %q, want %q", tt.after, said, tt.want)
			}
		}
	})
}

// A silent camera is reopened: after half a minute if it answers requests, otherwise after ten seconds.
func TestSilentCameraIsReopened(t *testing.T) {
	units := nals(t, "H264", "rtsp/testdata/slices.h264")
	for _, row := range []struct {
		mute        bool
		least, most time.Duration
	}{{false, 30 * time.Second, 45 * time.Second}, {true, 10 * time.Second, 12 * time.Second}} {
		bubble.Test(t, func(t *testing.T) {
			feed := feedCamera(t, rtsptest.Options{FPS: 15, Units: units, Once: true, MuteKeepalive: row.mute})
			time.Sleep(row.least)
			if feed.State().Restarts != 0 {
				t.Errorf("reopened before %v", row.least)
			}

			time.Sleep(row.most - row.least)
			if said := feed.sentences(); len(said) < 2 ||
				!strings.HasSuffix(said[1], " no video: "+ErrStalled.Error()) {
				t.Errorf("states %q after %v", feed.sentences(), row.most)
			}
		})
	}
}

// Pictures that may refer to a missing one are not shown, and a keyframe is requested from the camera.
func TestLostPacketsWaitForAKeyframe(t *testing.T) {
	units := nals(t, "H264", "rtsp/testdata/slices.h264")
	stream := slices.Concat(units, slices.Repeat([][][]byte{units[1]}, 10*15))
	bubble.Test(t, func(t *testing.T) {
		lossy := func(n int, p []rtsptest.Packet) []rtsptest.Packet {
			if n == 20 {
				return p[1:]
			}
			return p
		}

		feed := feedCamera(t, rtsptest.Options{FPS: 15, Units: stream, Mutate: lossy})
		s := feed.Subscribe()
		time.Sleep(10 * time.Second)
		if shown := len(drain(s)); shown != 20 || feed.State().Live {
			t.Errorf("%d pictures shown, want 20; %v", shown, feed.State())
		}

		asked := 0
		for _, b := range feed.camera.Feedback() {
			if bytes.Contains(b, []byte{0x81, 206}) {
				asked++
			}
		}

		if asked < 2 || asked > 10 {
			t.Errorf("the camera was asked for a keyframe %d times", asked)
		}
		time.Sleep(2 * time.Second)
		want := []string{"0s live", "2s no video: " + errLost.Error(), "11s live"}
		said := feed.sentences()
		for n := range want {
			if n >= len(said) || !strings.HasPrefix(said[n], want[n]) {
				t.Fatalf("states %q", feed.sentences())
			}
		}

		if dropped := feed.State().Dropped; dropped != 11*15-21 {
			t.Errorf("%d pictures dropped", dropped)
		}
	})
}

func TestBFramesOverRTSPAreRefusedBeforeAnythingIsShown(t *testing.T) {
	units := nals(t, "H264", "testdata/bframes.h264")
	bubble.Test(t, func(t *testing.T) {
		feed := feedCamera(t, rtsptest.Options{FPS: 8, Units: units})
		s := feed.Subscribe()
		time.Sleep(time.Minute)
		if _, ok := s.Waiting(); ok || !errors.Is(feed.State().Err, ErrBFrames) || feed.State().Seen {
			t.Errorf("states %q", feed.sentences())
		}
	})
}

// orderedUnits returns pictures with the given picture order counts. The parameter sets of the stream allow B-frames.
func orderedUnits(lsb ...uint32) (units [][][]byte) {
	for n, picture := range pictures(lsb...) {
		unit := [][]byte{picture[4:]}
		if n == 0 {
			unit = [][]byte{spsNAL()[4:], {0x68, 0xce, 0x3c, 0x80}, picture[4:]}
		}
		units = append(units, unit)
	}
	return units
}

// A stream that may have B-frames is shown as soon as its second picture leaves no room for any. Its first picture is
// shown alone if the second is slow to arrive.
func TestSecondPictureTellsWhetherBFramesAreLikely(t *testing.T) {
	const ms = time.Millisecond
	plain := orderedUnits(0, 2, 4, 6, 8, 10, 12, 14)
	for _, row := range []struct {
		name  string
		units [][][]byte
		fps   float64
		first time.Duration // of the first picture
	}{
		{"15 a second", plain, 15, 67 * ms},
		{"5 a second", plain, 5, 200 * ms},
		{"3 a second", plain, 3, firstHold},
		{"one every 5 s", plain, 0.2, firstHold},
		{"keyframes alone", orderedUnits(0)[:1], 5, 200 * ms},
		{"keyframes alone, seldom", orderedUnits(0)[:1], 0.2, firstHold},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				feed := feedCamera(t, rtsptest.Options{FPS: row.fps, Units: row.units, Fmtp: "packetization-mode=1"})
				s := feed.Subscribe()
				_, after := feed.next(t, s)
				if after.Round(ms) != row.first {
					t.Errorf("the first picture came after %v, want %v", after, row.first)
				}

				interval := time.Duration(float64(time.Second) / row.fps)
				for n := 1; n < 20; n++ { // then each one when it arrives
					if _, after := feed.next(t, s); after > time.Duration(n)*interval+ms {
						t.Fatalf("picture %d came after %v", n, after)
					}
				}
			})
		})
	}

	for _, fps := range []float64{15, 5} { // a second picture that leaves room for others delays the first
		bubble.Test(t, func(t *testing.T) {
			feed := feedCamera(t, rtsptest.Options{
				FPS:   fps,
				Units: orderedUnits(0, 6, 2, 4, 12, 8, 10),
				Fmtp:  "packetization-mode=1",
			})

			s := feed.Subscribe()
			time.Sleep(time.Minute)
			if _, ok := s.Waiting(); ok || !errors.Is(feed.State().Err, ErrBFrames) || feed.State().Seen {
				t.Errorf("at %v a second: %q", fps, feed.sentences())
			}
		})
	}
}
