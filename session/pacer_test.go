package session

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

// drive lets packets through a pacer for a time, and tells when each left, and under which number.
func drive(p *pacer, size int, lasting time.Duration) (left []time.Duration, numbers []uint16) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), lasting)
	defer cancel()
	for {
		number, err := p.wait(ctx, size)
		if err != nil {
			return left, numbers
		}
		left, numbers = append(left, time.Since(begin)), append(numbers, number)
	}
}

// feedbackOf is a report of packets from a number on, as they arrive, or not at all: the time of each, by the other end's clock.
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
		r.PacketChunks = append(r.PacketChunks, &rtcp.StatusVectorChunk{SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit, SymbolList: symbols[:min(7, len(symbols))]})
	}
	return r
}

// Until the first report no more than a flight leaves, at the pace of a path of which nothing is known; and then nearly nothing.
func TestPacerBeforeTheFirstReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1024
		left, numbers := drive(newPacer(), size, 10*time.Second)
		flight := 0
		for i, at := range left {
			if at < rttFirst/2 {
				flight++
			}
			if sent := float64(i*size*8) / firstRate; sent > paceFactor*(at+paceGrain+ms).Seconds() {
				t.Fatalf("%d packets left within %v", i+1, at)
			}
			if numbers[i] != uint16(i) {
				t.Fatalf("packet %d has the number %d", i, numbers[i])
			}
		}
		if flight*size > flightFirst || flight*size < flightFirst*9/10 {
			t.Errorf("%d bytes left before a report could have come", flight*size)
		}
		if rest := len(left) - flight; rest > int(10*time.Second/probeEvery)+flight {
			t.Errorf("%d packets left although nothing is heard", rest)
		}
	})
}

// Whoever says that no reports will come is served all the same.
func TestPacerGoesBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer()
		p.goBlind()
		left, _ := drive(p, 1000, 4*time.Second)
		if rate := float64(len(left)) * 8000 / 4; rate < firstRate || rate > firstRate*paceFactor*1.02 {
			t.Errorf("%.1f Mbit/s", rate/1e6)
		}
	})
}

// Reports let more leave: as much again as has arrived, while nothing waits.
func TestPacerGoesOnWithReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer()
		const size = 1024
		left, _ := drive(p, size, 100*ms)
		at := make([]time.Duration, len(left))
		for i := range at {
			at[i] = time.Second + left[i] // no queue on the way
		}
		p.report(feedbackOf(0, at...))
		more, _ := drive(p, size, 100*ms)
		if len(more) < 2*len(left)*9/10 || len(more) > 2*len(left) {
			t.Errorf("%d packets left after a report of %d", len(more), len(left))
		}
		if p.flight != len(more)*size {
			t.Errorf("%d bytes are in flight, want %d", p.flight, len(more)*size)
		}
	})
}

// When reports stop coming, only a packet now and then finds out whether they come again; and when they do, it goes on as at first.
func TestPacerIsSilentInTheDark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer()
		left, _ := drive(p, 1000, 100*ms)
		at := make([]time.Duration, len(left))
		for i := range at {
			at[i] = time.Second + left[i]
		}
		p.report(feedbackOf(0, at...))
		p.mu.Lock()
		p.estimator.queued = true
		p.mu.Unlock()
		drive(p, 1000, 2*time.Second)
		dark, numbers := drive(p, 1000, 5*time.Second)
		if n := len(dark); n < 40 || n > 60 {
			t.Errorf("%d packets left in five seconds of dark", n)
		}
		p.report(feedbackOf(numbers[len(numbers)-1], 8*time.Second))
		again, _ := drive(p, 1000, 100*ms)
		if n := len(again) * 1000; n < flightFirst*8/10 || n > flightFirst+10_000 {
			t.Errorf("%d bytes left at once when it was over", n)
		}
	})
}

// A packet is underway until a report says that it is lost, or should have spoken of it.
func TestPacerKnowsWhatIsUnderway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer()
		for range 4 {
			if _, err := p.wait(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(80 * ms)
		p.report(feedbackOf(0, time.Second, 0, time.Second+ms)) // nothing of number 3
		for n, want := range []bool{true, false, true, true} {
			if p.underway(uint16(n)) != want {
				t.Errorf("packet %d: underway %v, want %v", n, !want, want)
			}
		}
		if rtt := p.roundTrip(); rtt < 79*ms || rtt > 81*ms {
			t.Errorf("a round trip of %v", rtt)
		}
		time.Sleep(200 * ms)
		if p.underway(3) {
			t.Error("a packet of which nobody speaks is underway for ever")
		}
	})
}

// The other end's clock is read across the wrap of its 24 bits, and a report tells the same if it comes twice.
// The longer the round trip, the more copies of what is asked for; one as long as nothing is known.
func TestPacerCopies(t *testing.T) {
	for roundTrip, want := range map[time.Duration]int{100 * ms: 1, 190 * ms: 1, 210 * ms: 2, 420 * ms: 3, 3 * time.Second: 3} {
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			if got := p.copies(); got != 1 {
				t.Errorf("%d copies where nothing is known", got)
			}
			drive(p, 1024, 5*ms)
			time.Sleep(roundTrip - 5*ms)
			p.report(feedbackOf(0, 64*ms))
			if got := p.copies(); got != want {
				t.Errorf("%d copies over a round trip of %v, want %d", got, roundTrip, want)
			}
		})
	}
}

func TestArrivalClock(t *testing.T) {
	var c arrivalClock
	a := feedbackOf(65535, 10*ms, 0, 20*ms)
	a.ReferenceTime = 1<<24 - 1
	b := feedbackOf(2, 5*ms)
	b.ReferenceTime = 1
	first, second, again := c.read(a), c.read(b), c.read(a)
	if len(first) != 3 || first[0].number != 65535 || first[1].received || first[2].number != 1 || first[2].at-first[0].at != 10*ms {
		t.Errorf("read %+v", first)
	}
	if got, want := second[0].at-first[2].at, 2*64*ms+5*ms-20*ms; got != want {
		t.Errorf("%v from one report to the next, want %v", got, want)
	}
	if again[0].at != first[0].at {
		t.Errorf("the same report again says %v, before %v", again[0].at, first[0].at)
	}
}

// FuzzReport: no report, whatever it holds, makes the pacer lose count or judge the path to be anything but a rate.
func FuzzReport(f *testing.F) {
	for _, r := range []*rtcp.TransportLayerCC{feedbackOf(0, time.Second, 0, time.Second+ms), feedbackOf(30, 5*time.Second), feedbackOf(65000, 1, 2, 3)} {
		if wire, err := r.Marshal(); err == nil {
			f.Add(wire, wire)
		}
	}
	f.Add([]byte{0x8f, 0xcd, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0x3f, 0xff, 0, 0}, []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		p := newPacer()
		for range 40 {
			p.take(1000)
			p.mu.Lock()
			p.free = 0
			p.mu.Unlock()
		}
		for _, wire := range [][]byte{a, b, a} {
			var r rtcp.TransportLayerCC
			if r.Unmarshal(wire) == nil {
				p.report(&r)
			}
		}
		if p.flight < 0 || p.flight > 40_000 || p.landed < 0 || p.landed > 40_000 {
			t.Errorf("%d bytes in flight, %d have arrived, of 40000", p.flight, p.landed)
		}
		if r := p.rate(); math.IsNaN(r) || r < leastRate || r > mostRate {
			t.Errorf("a rate of %v", r)
		}
	})
}
