package rtsp

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media/rtsp/rtsptest"
)

// trackTest passes packets to a track, at times that the test chooses.
type trackTest struct {
	*track
	counters counters
	units    []Unit
	now      time.Time
}

func newTrackTest(way transport) *trackTest {
	t := &trackTest{now: time.Unix(1000, 0)}
	d := description{codec: "H264", alone: true, clockRate: 90000}
	t.track = newTrack(d, way, Config{MaxUnit: 1 << 20}, func(u Unit) { t.units = append(t.units, u) }, &t.counters)
	return t
}

func (t *trackTest) push(p rtsptest.Packet) {
	t.receive(packetBytes(p.Number, p.Timestamp, p.SSRC, p.Marker, p.Payload...), t.now)
}

// packets returns the packets of a stream that begins at a sequence number.
func packets(units [][][]byte, number uint16) (all []rtsptest.Packet) {
	for n, unit := range units {
		payloads := rtsptest.Fragmented("H264", unit, 300)
		for i, payload := range payloads {
			all = append(all, rtsptest.Packet{
				Number:    number,
				Timestamp: uint32(n) * 6000,
				Marker:    i == len(payloads)-1,
				SSRC:      42,
				Payload:   payload,
			})
			number++
		}
	}
	return all
}

func TestPacketsOverUDPAreOrderedWithinTheirDelay(t *testing.T) {
	units := clip(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		test := newTrackTest(overUDP)
		all := packets(units, uint16(r.IntN(1<<16)))
		for i := range all { // move each a few places, and send every tenth twice
			j := min(i+r.IntN(4), len(all)-1)
			all[i], all[j] = all[j], all[i]
		}

		for i, p := range all {
			test.push(p)
			if i%10 == 0 {
				test.push(p)
			}
			test.now = test.now.Add(time.Millisecond)
		}

		test.expire(test.now.Add(reorderDelay))
		if len(test.units) != len(units) {
			t.Fatalf("%d access units of %d; %+v", len(test.units), len(units), test.counters.stats())
		}
		wantUnits(t, test.units, units)
		if s := test.counters.stats(); s.Lost != 0 || s.Late == 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestLostPacketsCostOnlyTheirAccessUnit(t *testing.T) {
	units := clip(t)
	all := packets(units, 0xfff0)
	for _, way := range []transport{overTCP, overUDP} {
		// the first two are complete parameter sets, which decoders may already have
		for lost := 2; lost < len(all); lost++ {
			test := newTrackTest(way)
			for i, p := range all {
				if i != lost {
					test.push(p)
				}
				test.now = test.now.Add(time.Millisecond)
			}

			test.expire(test.now.Add(reorderDelay))
			of := int(all[lost].Timestamp / 6000)
			want := slices.Delete(slices.Clone(units), of, of+1)
			if last := lost == len(all)-1; last {
				want = units[:of] // nothing shows that one is missing
			}

			if len(test.units) != len(want) {
				t.Fatalf("over %v, without packet %d: %d access units, want %d", way, lost, len(test.units), len(want))
			}
			for n, u := range test.units {
				if !bytes.Equal(u.Data, rtsptest.Join(want[n])) {
					t.Fatalf("over %v, without packet %d: access unit %d is not whole", way, lost, n)
				}
				if n > 0 && u.Gap != (n == of) {
					t.Errorf("over %v, without packet %d: access unit %d has a gap: %v", way, lost, n, u.Gap)
				}
			}

			if s := test.counters.stats(); lost < len(all)-1 && (s.Lost != 1 || s.Dropped != 1) {
				t.Errorf("over %v, without packet %d: %+v", way, lost, s)
			}
		}
	}
}

// A picture to which no other refers may be missing without harm.
func TestLostNonReferencePicturesLeaveNoGap(t *testing.T) {
	units := [][][]byte{{{0x65, 0x88, 1}}, {append([]byte{0x01, 0x9a}, make([]byte, 1000)...)}, {{0x41, 0x9a, 3}}}
	test := newTrackTest(overTCP)
	for i, p := range packets(units, 7) {
		if i != 2 {
			test.push(p)
		}
	}

	if len(test.units) != 2 || test.units[1].Gap {
		t.Errorf("%d access units: %+v", len(test.units), test.units)
	}
}

func TestRestartedStreamsAreFollowed(t *testing.T) {
	units := clip(t)
	for _, way := range []transport{overTCP, overUDP} {
		for name, change := range map[string]func(*rtsptest.Packet){
			"under another SSRC": func(p *rtsptest.Packet) {
				p.SSRC, p.Number, p.Timestamp = 43, p.Number+20000, p.Timestamp-5000
			},
			"far ahead": func(p *rtsptest.Packet) { p.Number += 20000 },
		} {
			test := newTrackTest(way)
			all := append(packets(units, 100), packets(units, 1000)...)
			for i, p := range all {
				if i >= len(all)/2 {
					change(&p)
				}
				test.push(p)
				test.now = test.now.Add(time.Millisecond)
			}

			test.expire(test.now.Add(reorderDelay))
			if len(test.units) != 2*len(units) || !test.units[len(units)].Gap {
				t.Errorf("over %v, %s: %d access units of %d", way, name, len(test.units), 2*len(units))
			}
		}
	}

	test := newTrackTest(overUDP)
	for range 4 {
		for _, p := range packets(units, 1) { // again, which at first looks late
			test.push(p)
			test.now = test.now.Add(time.Millisecond)
		}
	}

	if test.expire(test.now.Add(reorderDelay)); len(test.units) < 2*len(units) {
		t.Errorf("a camera that counts from 1 again: %d access units", len(test.units))
	}
}

// Some cameras number their packets at random, or not at all. Over TCP none of them is missing.
func TestMeaninglessSequenceNumbersAreIgnored(t *testing.T) {
	units := clip(t)
	r := rand.New(rand.NewPCG(3, 4))
	for name, number := range map[string]func() uint16{
		"none":      func() uint16 { return 0 },
		"at random": func() uint16 { return uint16(r.Uint32()) },
	} {
		test := newTrackTest(overTCP)
		for range 3 {
			for _, p := range packets(units, 1) {
				p.Number = number()
				test.push(p)
			}
		}

		if len(test.units) < 2*len(units) {
			t.Errorf("%s: %d access units of %d", name, len(test.units), 3*len(units))
		}
	}
}

func TestTimeline(t *testing.T) {
	type arrival struct {
		after     time.Duration // since the previous one
		timestamp uint32
		want      time.Duration
	}

	const s, ms = time.Second, time.Millisecond
	rows := map[string][]arrival{
		"steady, jittered": {{0, 500, 0}, {1100 * ms, 90500, s}, {900 * ms, 180500, 2 * s}},
		"wraps":            {{0, 1<<32 - 45000, 0}, {s, 45000, s}},
		"jumps ahead":      {{0, 0, 0}, {s, 90000 * 3600, s}, {s, 90000 * 3601, 2 * s}},
		"jumps back":       {{0, 90000 * 3600, 0}, {s, 5, s}, {s, 90005, 2 * s}},
		"stands still":     {{0, 7, 0}, {s, 7, s}, {s, 7, 2 * s}},
		"seldom":           {{0, 0, 0}, {60 * s, 60 * 90000, 60 * s}},
		"held up":          {{0, 0, 0}, {3 * s, 90000, s}, {0, 180000, 2 * s}, {0, 270000, 3 * s}},
		"too quick": {
			{0, 0, 0}, {s, 3 * 90000, 3 * s}, {s, 6 * 90000, 6 * s}, {s, 9 * 90000, 6 * s}, {9 * s, 18 * 90000, 15 * s},
		},
	}
	for name, arrivals := range rows {
		l := timeline{rate: 90000}
		now := time.Hour
		for n, a := range arrivals {
			now += a.after
			if got := l.at(a.timestamp, now); got != a.want {
				t.Errorf("%s: access unit %d is at %v, want %v", name, n, got, a.want)
			}
		}
	}
}

func TestReportCountsLostPackets(t *testing.T) {
	r := newReport(90000)
	now := time.Unix(1000, 0)
	for n := range 100 {
		if n%10 != 3 {
			r.count(42, uint16(0xffe0+n), uint32(n)*3000, now)
		}
		now = now.Add(time.Second / 30)
	}

	r.readRTCP([]byte{0x80, 200, 0, 6, 0, 0, 0, 42, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, now)
	b := r.block(now.Add(time.Second))
	if b.TotalLost != 10 || b.FractionLost != 25 || b.LastSequenceNumber != 0xffe0+99 ||
		b.LastSenderReport != 0x03040506 || b.Delay != 65536 || b.Jitter > 10 {
		t.Errorf("%+v", b)
	}

	if b := r.block(now); b.FractionLost != 0 {
		t.Errorf("nothing was lost since: %+v", b)
	}
	if r.ended() {
		t.Error("a goodbye, although nobody said it")
	}

	if r.readRTCP([]byte{0x81, 203, 0, 1, 0, 0, 0, 42}, now); !r.ended() {
		t.Error("a goodbye was not heard")
	}
}
