package congestion

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/peephole-cam/peephole/test/bubble"
)

// drive sends packets through a pacer for a time. It returns when each of them left, and its number.
func drive(p *Pacer, size int, lasting time.Duration) (left []time.Duration, numbers []uint16) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), lasting)
	defer cancel()
	for {
		number, err := p.Wait(ctx, size)
		if err != nil {
			return left, numbers
		}
		left, numbers = append(left, time.Since(begin)), append(numbers, number)
	}
}

// feedbackOf returns a report about packets from a number on. at holds when each arrived, by the other end's clock, or
// 0 if it did not.
func feedbackOf(first uint16, at ...time.Duration) *rtcp.TransportLayerCC {
	r := &rtcp.TransportLayerCC{BaseSequenceNumber: first, PacketStatusCount: uint16(len(at))}
	var symbols []uint16
	clock := time.Duration(0)
	for _, t := range at {
		symbol := uint16(rtcp.TypeTCCPacketNotReceived)
		if t > 0 {
			symbol = rtcp.TypeTCCPacketReceivedLargeDelta
			r.RecvDeltas = append(r.RecvDeltas, &rtcp.RecvDelta{Type: symbol, Delta: (t - clock).Microseconds()})
			clock = t
		}
		symbols = append(symbols, symbol)
	}

	for ; len(symbols) > 0; symbols = symbols[min(7, len(symbols)):] {
		r.PacketChunks = append(r.PacketChunks,
			&rtcp.StatusVectorChunk{SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit,
				SymbolList: symbols[:min(7, len(symbols))]})
	}

	return r
}

// Until the first report, the pacer sends firstFlight at the pace for an unknown path, and then nearly nothing.
func TestPacerBeforeTheFirstReport(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const size = 1024
		left, numbers := drive(NewPacer(), size, 10*time.Second)
		flight := 0
		for i, at := range left {
			if at < firstRTT/2 {
				flight++
			}
			if sent := float64(i*size*8) / firstRate; sent > paceFactor*(at+paceGrain+time.Millisecond).Seconds() {
				t.Fatalf("%d packets left within %v", i+1, at)
			}
			if numbers[i] != uint16(i) {
				t.Fatalf("packet %d has the number %d", i, numbers[i])
			}
		}

		if flight*size > firstFlight || flight*size < firstFlight*9/10 {
			t.Errorf("%d bytes left before a report could have come", flight*size)
		}
		if rest := len(left) - flight; rest > int(10*time.Second/probeEvery)+flight {
			t.Errorf("%d packets left although no report arrived", rest)
		}
	})
}

// The pacer also serves an end that makes no reports.
func TestPacerGoesBlind(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := NewPacer()
		p.GoBlind()
		left, _ := drive(p, 1000, 4*time.Second)
		if rate := float64(len(left)) * 8000 / 4; rate < firstRate || rate > firstRate*paceFactor*1.02 {
			t.Errorf("%.1f Mbit/s", rate/1e6)
		}
	})
}

// While nothing waits on the way, each report lets as many bytes leave as have arrived.
func TestReportsLetPacketsLeave(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := NewPacer()
		const size = 1024
		left, _ := drive(p, size, 100*time.Millisecond)
		at := make([]time.Duration, len(left))
		for i := range at {
			at[i] = time.Second + left[i] // without a queue on the way
		}

		p.Report(feedbackOf(0, at...))
		more, _ := drive(p, size, 100*time.Millisecond)
		if len(more) < 2*len(left)*9/10 || len(more) > 2*len(left) {
			t.Errorf("%d packets left after a report of %d", len(more), len(left))
		}

		if p.flight != len(more)*size {
			t.Errorf("%d bytes are in flight, want %d", p.flight, len(more)*size)
		}
	})
}

// A sender that was held back before a report, but not since, does not learn from the next one that the path carries
// more.
func TestEachReportAsksAnewWhetherThePacerHeldBack(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := NewPacer()
		left, numbers := drive(p, 1024, 100*time.Millisecond)
		at := make([]time.Duration, len(left))
		for i := range at {
			at[i] = time.Second + left[i] // without a queue on the way
		}
		p.Report(feedbackOf(0, at...))
		grown := p.Rate()
		if grown <= firstRate {
			t.Fatalf("%.1f Mbit/s, although the pacer has held packets back", grown/1e6)
		}

		time.Sleep(time.Second)
		number, pause := p.tryLeave(1024)
		if pause > 0 || number != numbers[len(numbers)-1]+1 {
			t.Fatalf("packet %d waits %v", number, pause)
		}
		p.Report(feedbackOf(number, 2100*time.Millisecond))
		if p.Rate() != grown {
			t.Errorf("%.1f Mbit/s, want %.1f as before", p.Rate()/1e6, grown/1e6)
		}
	})
}

// A report counts once for each packet, and not at all for one that was not sent or has been forgotten.
func TestReportCountsOncePerPacket(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := NewPacer()
		p.GoBlind()
		p.estimator.rate = 1e15 // nothing waits
		for i := range 4096 + 4 {
			if _, pause := p.tryLeave(100); pause > 0 {
				t.Fatalf("packet %d waits %s", i, pause)
			}
		}

		for _, step := range []struct {
			name   string
			first  uint16
			landed int
		}{
			{"the next two packets, which have not left", 4100, 0},
			{"the oldest packet that is remembered, and the one before it", 3, 100},
			{"two packets, one of them again", 4, 200},
			{"the same two again", 4, 200},
		} {
			p.Report(feedbackOf(step.first, time.Second, time.Second+time.Millisecond))
			if p.landed != step.landed {
				t.Errorf("after a report of %s, %d bytes have arrived, want %d", step.name, p.landed, step.landed)
			}
		}
	})
}

// What the path carries in a round trip and 180 ms may be in flight, and 10 KiB in any case.
func TestFlightIsBounded(t *testing.T) {
	for _, tt := range []struct {
		rate float64
		most int
	}{
		{50e3, 10 << 10},
		{8e6, 200_000},
	} {
		p := NewPacer()
		p.estimator.rate, p.estimator.queued, p.rtt = tt.rate, true, 20*time.Millisecond
		p.flight = tt.most - 1000
		if pause := p.pause(1000, 0); pause > 0 {
			t.Errorf("at %.2f Mbit/s, the packet that makes it %d bytes waits %v", tt.rate/1e6, tt.most, pause)
		}
		if p.pause(1001, 0) == 0 {
			t.Errorf("at %.2f Mbit/s, more than %d bytes are in flight", tt.rate/1e6, tt.most)
		}
	}
}

// When reports stop, a packet leaves only now and then, to see whether they resume. When they do, the pacer starts
// afresh.
func TestPacerIsSilentInTheDark(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := NewPacer()
		left, _ := drive(p, 1000, 100*time.Millisecond)
		at := make([]time.Duration, len(left))
		for i := range at {
			at[i] = time.Second + left[i]
		}

		p.Report(feedbackOf(0, at...))
		p.mu.Lock()
		p.estimator.queued = true
		p.mu.Unlock()
		drive(p, 1000, 2*time.Second)
		dark, numbers := drive(p, 1000, 5*time.Second)
		if n := len(dark); n < 40 || n > 60 {
			t.Errorf("%d packets left in five seconds without reports", n)
		}

		p.Report(feedbackOf(numbers[len(numbers)-1], 8*time.Second))
		again, _ := drive(p, 1000, 100*time.Millisecond)
		if n := len(again) * 1000; n < firstFlight*8/10 || n > firstFlight+10_000 {
			t.Errorf("%d bytes left at once when reports resumed", n)
		}
	})
}

// A packet is underway until a report says that it is lost, or until its report is overdue.
func TestPacketIsUnderwayUntilItsReport(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := NewPacer()
		for range 4 {
			if _, err := p.Wait(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
		}

		time.Sleep(80 * time.Millisecond)
		p.Report(feedbackOf(0, time.Second, 0, time.Second+time.Millisecond)) // nothing about number 3
		for n, want := range []bool{true, false, true, true} {
			if p.Underway(uint16(n)) != want {
				t.Errorf("packet %d: underway %v, want %v", n, !want, want)
			}
		}

		if rtt := p.RoundTrip(); rtt < 79*time.Millisecond || rtt > 81*time.Millisecond {
			t.Errorf("a round trip of %v", rtt)
		}
		time.Sleep(200 * time.Millisecond)
		if p.Underway(3) {
			t.Error("a packet without a report stays underway for ever")
		}
	})
}

// However many packets lack a report, the bytes in flight are those of the packets in the pacer's list.
func TestFlightIsWhatLacksAReport(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := NewPacer()
		p.GoBlind()
		p.estimator.rate = 1e15 // nothing waits
		for i := range 2*maxFlight + 3 {
			if _, pause := p.tryLeave(100 + i%1000); pause > 0 {
				t.Fatalf("packet %d waits %s", i, pause)
			}
			if i < maxFlight-3 {
				continue
			}

			open := 0
			for _, f := range p.packets {
				if f.open {
					open += f.size
				}
			}

			if p.flight != open {
				t.Fatalf("after packet %d, %d bytes count as in flight, want %d", i, p.flight, open)
			}
		}
	})
}

// The longer the round trip, the more copies of a requested packet are sent. While the round trip is unknown, it is
// one.
func TestPacerCopies(t *testing.T) {
	for roundTrip, want := range map[time.Duration]int{100 * time.Millisecond: 1, 190 * time.Millisecond: 1,
		210 * time.Millisecond: 2, 420 * time.Millisecond: 3,
		3 * time.Second: 3} {
		bubble.Test(t, func(t *testing.T) {
			p := NewPacer()
			if got := p.Copies(); got != 1 {
				t.Errorf("%d copies while the round trip is unknown", got)
			}
			drive(p, 1024, 5*time.Millisecond)
			time.Sleep(roundTrip - 5*time.Millisecond)
			p.Report(feedbackOf(0, 64*time.Millisecond))
			if got := p.Copies(); got != want {
				t.Errorf("%d copies over a round trip of %v, want %d", got, roundTrip, want)
			}
		})
	}
}

func TestArrivalClockReadsFeedback(t *testing.T) {
	var c arrivalClock
	a := feedbackOf(65535, 10*time.Millisecond, 0, 20*time.Millisecond)
	a.ReferenceTime = 1<<24 - 1
	b := feedbackOf(2, 5*time.Millisecond)
	b.ReferenceTime = 1
	first, second, again := c.read(a), c.read(b), c.read(a)
	if len(first) != 3 || first[0].number != 65535 || first[1].received || first[2].number != 1 ||
		first[2].at-first[0].at != 10*time.Millisecond {
		t.Errorf("read %+v", first)
	}

	if got, want := second[0].at-first[2].at,
		2*64*time.Millisecond+5*time.Millisecond-20*time.Millisecond; got != want {
		t.Errorf("%v from one report to the next, want %v", got, want)
	}
	if again[0].at != first[0].at {
		t.Errorf("reading the same report again gives %v, and gave %v before", again[0].at, first[0].at)
	}
}

// A chunk of feedback tells of each of its packets, whether it is a run of one kind or a list (draft-holmer-rmcat-
// transport-wide-cc-extensions-01, section 3.1).
func TestArrivalClockReadsWholeChunks(t *testing.T) {
	r := &rtcp.TransportLayerCC{
		BaseSequenceNumber: 65535,
		PacketStatusCount:  5,
		PacketChunks: []rtcp.PacketStatusChunk{
			&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 3},
			&rtcp.StatusVectorChunk{SymbolList: []uint16{rtcp.TypeTCCPacketNotReceived,
				rtcp.TypeTCCPacketReceivedLargeDelta, rtcp.TypeTCCPacketReceivedSmallDelta}},
		},
		RecvDeltas: []*rtcp.RecvDelta{{Delta: 1000}, {Delta: 2000}, {Delta: 3000}, {Delta: 4000}},
	}

	want := []status{
		{65535, true, 1 * time.Millisecond},
		{0, true, 3 * time.Millisecond},
		{1, true, 6 * time.Millisecond},
		{2, false, 0},
		{3, true, 10 * time.Millisecond},
	}
	if got := new(arrivalClock).read(r); !slices.Equal(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

// FuzzReport: no report makes the pacer lose count, or estimate a rate out of range.
func FuzzReport(f *testing.F) {
	for _, r := range []*rtcp.TransportLayerCC{feedbackOf(0, time.Second, 0, time.Second+time.Millisecond),
		feedbackOf(30, 5*time.Second), feedbackOf(65000, 1, 2, 3)} {
		if wire, err := r.Marshal(); err == nil {
			f.Add(wire, wire)
		}
	}

	f.Add([]byte{0x8f, 0xcd, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0x3f, 0xff, 0, 0}, []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		p := NewPacer()
		for range 40 {
			p.tryLeave(1000)
			p.mu.Lock()
			p.free = 0
			p.mu.Unlock()
		}

		for _, wire := range [][]byte{a, b, a} {
			var r rtcp.TransportLayerCC
			if r.Unmarshal(wire) == nil {
				p.Report(&r)
			}
		}

		if p.flight < 0 || p.flight > 40_000 || p.landed < 0 || p.landed > 40_000 {
			t.Errorf("of 40000 bytes, %d are in flight and %d have arrived", p.flight, p.landed)
		}
		if r := p.Rate(); math.IsNaN(r) || r < minRate || r > maxRate {
			t.Errorf("a rate of %v", r)
		}
	})
}
