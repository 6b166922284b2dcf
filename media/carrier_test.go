package media

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/peephole-cam/peephole/test/bubble"
)

var carriers = []Carrier{H264Carrier, VP8Carrier}

func sealedBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 2)
	}
	return b
}

func TestCarrierRoundTrip(t *testing.T) {
	for _, carrier := range carriers {
		if got, err := ParseCarrier(carrier.String()); err != nil || got != carrier {
			t.Errorf("ParseCarrier(%q): %v, %v", carrier, got, err)
		}
		for _, key := range []bool{true, false} {
			for _, size := range []int{1, 2, 17, 1160, 1168, 1169, 1170, 1175, 1176, 1177, 1178, 1179, 1180, 2354, 2355,
				2356, 5000, 300000} {
				sealed := sealedBytes(size)
				payloads := carrier.Packetize(key, sealed)
				d := NewDepacketizer(carrier)
				for n, p := range payloads {
					if len(p) > MaxPayload || len(p) == 0 {
						t.Fatalf("%v: payload of %d bytes", carrier, len(p))
					}
					frame, done, err := d.Push(p, n == len(payloads)-1)
					if err != nil || done != (n == len(payloads)-1) {
						t.Fatalf("%v key %v size %d: payload %d: done %v, %v", carrier, key, size, n, done, err)
					}

					if done && (frame.Keyframe != key || !bytes.Equal(frame.Sealed, sealed)) {
						t.Errorf("%v key %v size %d: got another frame", carrier, key, size)
					}
				}
			}
		}
	}
	if _, err := ParseCarrier("av1"); err == nil {
		t.Error("an unknown carrier was accepted")
	}
}

// TestCarrierBytes pins the bytes that browsers have been seen to accept.
func TestCarrierBytes(t *testing.T) {
	rows := []struct {
		carrier Carrier
		key     bool
		want    []string
	}{
		{H264Carrier, true, []string{"6742c00ad91e840000030004000003 00ca3c489920", "68cb83cb20", "7c85 8884 0102",
			"7c45 03040506"}},
		{H264Carrier, false, []string{"5c81 9a84 0102", "5c41 03040506"}},
		{VP8Carrier, true, []string{"10 1002009d012a10001000 010203040506"}},
		{VP8Carrier, false, []string{"10 110200 010203040506"}},
	}

	for _, row := range rows {
		got := row.carrier.Packetize(row.key, []byte{1, 2, 3, 4, 5, 6})
		if len(got) != len(row.want) {
			t.Fatalf("%v key %v: %x", row.carrier, row.key, got)
		}
		for n := range got {
			if want, _ := hex.DecodeString(string(bytes.ReplaceAll([]byte(row.want[n]), []byte(" "),
				nil))); !bytes.Equal(got[n], want) {
				t.Errorf("%v key %v payload %d: %x, want %x", row.carrier, row.key, n, got[n], want)
			}
		}
	}
}

func TestDepacketizerRefuses(t *testing.T) {
	rows := []struct {
		name    string
		carrier Carrier
		payload string
		want    error
	}{
		{"a foreign SPS", H264Carrier, "6742c01e", ErrMalformed},
		{"STAP-A", H264Carrier, "780004674200", ErrMalformed},
		{"start and end at once", H264Carrier, "7cc5888400", ErrMalformed},
		{"another slice header", H264Carrier, "7c85888500", ErrMalformed},
		{"the reserved bit", H264Carrier, "7ca5888400", ErrMalformed},
		{"another NAL unit type", H264Carrier, "7c8600", ErrMalformed},
		{"an extended descriptor", VP8Carrier, "9080100200", ErrMalformed},
		{"another frame header", VP8Carrier, "10110300", ErrMalformed},
		{"an empty continuation", VP8Carrier, "00", ErrMalformed},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			payload, err := hex.DecodeString(row.payload)
			if err != nil {
				t.Fatal(err)
			}
			d := NewDepacketizer(row.carrier)
			if _, done, err := d.Push(payload, true); done || !errors.Is(err, row.want) {
				t.Errorf("done %v, %v", done, err)
			}

			if !passes(d, row.carrier) {
				t.Error("the next frame did not get through")
			}
		})
	}
}

// passes pushes one complete frame and reports whether it gets through.
func passes(d *Depacketizer, c Carrier) bool {
	payloads := c.Packetize(false, []byte("sealed"))
	for n, p := range payloads {
		if frame, done, err := d.Push(p, n == len(payloads)-1); err == nil && done {
			return string(frame.Sealed) == "sealed"
		}
	}
	return false
}

func TestDepacketizerReportsATornFrame(t *testing.T) {
	for _, carrier := range carriers {
		d := NewDepacketizer(carrier)
		torn := carrier.Packetize(true, sealedBytes(3000))
		for _, p := range torn[:len(torn)-1] {
			if _, _, err := d.Push(p, false); err != nil {
				t.Fatal(err)
			}
		}

		next := carrier.Packetize(false, sealedBytes(3000))
		for n, p := range next {
			_, done, err := d.Push(p, n == len(next)-1)
			if (n == 0) != errors.Is(err, ErrTorn) || done != (n == len(next)-1) {
				t.Errorf("%v payload %d: done %v, %v", carrier, n, done, err)
			}
		}

		if _, _, err := d.Push(next[len(next)-1], true); !errors.Is(err, ErrTorn) {
			t.Errorf("%v: the end of a frame without its beginning: %v", carrier, err)
		}
	}
}

const ms = time.Millisecond

// packets returns count frames as RTP packets. Frame n consists of 2000 bytes with the value n.
func packets(carrier Carrier, count int, seq uint16) (all []*rtp.Packet) {
	for n := range count {
		payloads := carrier.Packetize(n == 0, bytes.Repeat([]byte{byte(n)}, 2000))
		for i, p := range payloads {
			all = append(all, &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq,
				Timestamp: uint32(n) * 6000,
				Marker:    i == len(payloads)-1}, Payload: p})
			seq++
		}
	}
	return all
}

func TestAssemblerRestoresTheOrder(t *testing.T) {
	for _, carrier := range carriers {
		all := packets(carrier, 40, 65500) // wraps
		random := rand.New(rand.NewPCG(1, 2))
		for n := 1; n+3 <= len(all); n += 3 {
			random.Shuffle(3, func(i, j int) { all[n+i], all[n+j] = all[n+j], all[n+i] })
		}

		a := NewAssembler(carrier)
		next := 0
		for _, p := range all {
			frames, lost := a.Push(p)
			again, _ := a.Push(p) // a duplicate
			for _, frame := range append(frames, again...) {
				if frame.Gap || frame.Timestamp != uint32(next)*6000 || len(frame.Sealed) != 2000 ||
					frame.Sealed[0] != byte(next) {
					t.Fatalf("%v: frame %d: gap %v, timestamp %d", carrier, next, frame.Gap, frame.Timestamp)
				}
				next++
			}

			if lost != 0 {
				t.Fatalf("%v: gave up on %d packets", carrier, lost)
			}
		}

		if next != 40 || a.Damaged() != 0 {
			t.Errorf("%v: %d frames, %d damaged", carrier, next, a.Damaged())
		}
	}
}

func TestAssemblerGivesUpAfterItsPatience(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, carrier := range carriers {
			a := NewAssembler(carrier)
			var got []byte
			var gaps []byte
			total := 0
			take := func(frames []Frame, lost int) {
				total += lost
				for _, frame := range frames {
					got = append(got, frame.Sealed[0])
					if frame.Gap {
						gaps = append(gaps, frame.Sealed[0])
					}
				}
			}

			for _, p := range packets(carrier, 30, 1) {
				if n := p.Timestamp / 6000; n == 10 && p.Marker || n == 20 {
					continue // the end of one frame and all of another
				}
				if p.Marker {
					time.Sleep(66 * time.Millisecond) // the frame interval, by the bubble's clock
				}
				take(a.Push(p))
			}

			if !a.Waiting() {
				t.Errorf("%v: no packet is missing", carrier)
			}
			time.Sleep(maxPatience)
			take(a.Expire())
			if len(got) != 28 || !bytes.Equal(gaps, []byte{11, 21}) || total != 3 {
				t.Errorf("%v: frames %v, gaps before %v, %d lost", carrier, got, gaps, total)
			}
		}
	})
}

// A packet that is retransmitted in time leaves no gap, however many packets arrive in between.
func TestRetransmittedPacketsLeaveNoGap(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, carrier := range carriers {
			a := NewAssembler(carrier)
			all := packets(carrier, 300, 65000) // wraps
			missing := make(map[uint16]*rtp.Packet)
			next, requested := 0, 0
			take := func(frames []Frame, lost int) {
				for _, f := range frames {
					if f.Gap || f.Timestamp != uint32(next)*6000 {
						t.Fatalf("%v: frame %d: gap %v, timestamp %d", carrier, next, f.Gap, f.Timestamp)
					}
					next++
				}
				if lost > 0 {
					t.Fatalf("%v: gave up on %d packets", carrier, lost)
				}
			}

			for i, p := range all {
				if i%7 == 3 && i < 560 {
					missing[p.SequenceNumber] = p
					continue
				}
				take(a.Push(p))
				time.Sleep(ms)

				for _, number := range a.Missing() {
					if missing[number] == nil {
						t.Fatalf("%v: requested %d, which has arrived", carrier, number)
					}
					if requested++; requested%3 == 0 { // two of three requests are lost
						take(a.Push(missing[number]))
						delete(missing, number)
					}
				}
			}

			for n := 0; a.Waiting() && n < 1000; n++ {
				time.Sleep(10 * ms)
				take(a.Expire())
				for _, number := range a.Missing() {
					take(a.Push(missing[number]))
				}
			}

			if next != 300 {
				t.Errorf("%v: got %d frames of 300", carrier, next)
			}
		}
	})
}

// Few packets wait for a missing one, and a sender that skips many numbers is followed at once.
func TestAssemblerBoundsItsMemory(t *testing.T) {
	a := NewAssembler(VP8Carrier)
	all := packets(VP8Carrier, 2*maxWaiting, 0)
	frames := 0
	for i, p := range all {
		if i == 1 {
			continue
		}
		got, _ := a.Push(p)
		frames += len(got)
		if len(a.waiting) > maxWaiting || len(a.missing.packets) > maxWaiting {
			t.Fatalf("%d packets wait, %d are missing", len(a.waiting), len(a.missing.packets))
		}
	}

	if frames < maxWaiting {
		t.Errorf("%d frames", frames)
	}
	last := *all[len(all)-1]
	last.SequenceNumber += 2 * maxWaiting
	if a.Push(&last); a.Waiting() {
		t.Error("thousands of packets are being requested")
	}
}

func TestAssemblerFollowsARestartedSender(t *testing.T) {
	a := NewAssembler(VP8Carrier)
	a.Push(packets(VP8Carrier, 1, 30000)[0])
	frames := 0
	for _, p := range packets(VP8Carrier, 250, 5) {
		got, _ := a.Push(p)
		frames += len(got)
	}

	if frames == 0 {
		t.Error("the restarted stream was dropped")
	}
}

// A packet is late if its number lies in the half of all numbers before the one that is due. 255 late packets in a row
// are dropped; the 256th begins the stream anew.
func TestLatePacketsAreDroppedUntilTheStreamBeginsAnew(t *testing.T) {
	for _, tt := range []struct {
		number uint16 // 101 is due
		late   bool
	}{
		{100, true}, {101 + 1<<15, true}, {100 + 1<<15, false}, {101, false},
	} {
		a := NewAssembler(VP8Carrier)
		a.Push(packets(VP8Carrier, 1, 100)[0])
		p := packets(VP8Carrier, 1, tt.number)[0]
		for n := 1; n <= 256; n++ {
			a.Push(p)
			if dropped := a.late == n; dropped != (tt.late && n < 256) {
				t.Fatalf("packet %d with number %d is dropped: %t", n, tt.number, dropped)
			}
			if !tt.late {
				break
			}
		}
	}
}

func FuzzDepacketizer(f *testing.F) {
	for _, carrier := range carriers {
		var stream []byte
		for _, p := range append(carrier.Packetize(true, sealedBytes(100)),
			carrier.Packetize(false, sealedBytes(50))...) {
			stream = append(append(stream, byte(len(p)), 0), p...)
		}
		f.Add(uint8(carrier), stream)
	}

	f.Fuzz(func(t *testing.T, c uint8, stream []byte) {
		carrier := carriers[c%2]
		a := NewAssembler(carrier)
		var seq uint16
		for len(stream) > 2 {
			size := min(int(stream[0]), len(stream)-2)
			flags := stream[1]
			seq += 1 + uint16(flags>>4) - uint16(flags>>1&3)
			a.Push(&rtp.Packet{Header: rtp.Header{SequenceNumber: seq, Marker: flags&1 == 1},
				Payload: stream[2 : 2+size]})
			stream = stream[2+size:]

			if len(a.waiting) > maxWaiting+1 {
				t.Fatalf("%d packets wait", len(a.waiting))
			}
		}
	})
}

func BenchmarkPacketize(b *testing.B) {
	sealed := sealedBytes(20000)
	for _, carrier := range carriers {
		b.Run(carrier.String(), func(b *testing.B) {
			b.SetBytes(int64(len(sealed)))
			b.ReportAllocs()
			for b.Loop() {
				carrier.Packetize(true, sealed)
			}
		})
	}
}

func BenchmarkAssembler(b *testing.B) {
	for _, carrier := range carriers {
		b.Run(carrier.String(), func(b *testing.B) {
			all := packets(carrier, 30, 0)
			a := NewAssembler(carrier)
			b.SetBytes(30 * 2000)
			var seq uint16
			for b.Loop() {
				for _, p := range all {
					p.SequenceNumber = seq
					seq++
					a.Push(p)
				}
			}
		})
	}
}
