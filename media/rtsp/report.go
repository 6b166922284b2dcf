package rtsp

import (
	"crypto/rand"
	"math"
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// maxReport is how many bytes of an RTCP packet are read.
const maxReport = 1500

// report counts packets for receiver reports (RFC 3550, sections 6.4.2 and A.3). Cameras end a UDP session that sends
// no reports.
type report struct {
	rate  float64 // of the RTP clock, Hz
	cname string
	ssrc  uint32

	mu        sync.Mutex // guards all below
	remote    uint32
	started   bool
	first     uint32 // extended sequence numbers
	highest   uint32
	received  uint32
	expected0 uint32 // at the last report
	received0 uint32
	transit   float64
	jitter    float64
	sender    uint32    // middle of the NTP time of the last sender report
	heard     time.Time // when that arrived
	bye       bool
}

func newReport(rate uint32) *report {
	var ssrc [4]byte
	rand.Read(ssrc[:])
	return &report{
		rate:  float64(rate),
		cname: rand.Text()[:16], // RFC 7022: new for each session
		ssrc:  uint32(ssrc[0])<<24 | uint32(ssrc[1])<<16 | uint32(ssrc[2])<<8 | uint32(ssrc[3]),
	}
}

// count counts an RTP packet. It reports whether the packet is the first of another sender.
func (r *report) count(ssrc uint32, number uint16, timestamp uint32, now time.Time) (another bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bye = false
	transit := float64(now.UnixMicro())*r.rate/1e6 - float64(timestamp)
	if !r.started || ssrc != r.remote {
		another = r.started
		r.remote, r.started = ssrc, true
		r.first, r.highest = uint32(number), uint32(number)
		r.received, r.expected0, r.received0 = 1, 0, 0
		r.transit, r.jitter = transit, 0
		return another
	}

	r.received++
	if step := number - uint16(r.highest); step < 1<<15 {
		r.highest += uint32(step)
	}
	if d := math.Abs(transit - r.transit); d < 10*r.rate { // a jump of the clock is no jitter
		r.jitter += (d - r.jitter) / 16
	}

	r.transit = transit
	return false
}

// readRTCP reads an RTCP packet from the camera. It ignores a malformed one.
func (r *report) readRTCP(b []byte, now time.Time) {
	packets, err := rtcp.Unmarshal(b[:min(len(b), maxReport)])
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			if p.SSRC == r.remote || !r.started {
				r.sender, r.heard = uint32(p.NTPTime>>16), now
			}
		case *rtcp.Goodbye:
			r.bye = true
		}
	}
}

// ended reports whether the camera has sent a goodbye and nothing since.
func (r *report) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bye
}

// receiverReport returns the next report, with a request for a keyframe if keyframe is true (PLI; RFC 4585, section
// 6.3.1).
func (r *report) receiverReport(now time.Time, keyframe bool) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	rr := &rtcp.ReceiverReport{SSRC: r.ssrc}
	if r.started {
		rr.Reports = []rtcp.ReceptionReport{r.block(now)}
	}

	packets := []rtcp.Packet{rr, rtcp.NewCNAMESourceDescription(r.ssrc, r.cname)}
	if keyframe && r.started {
		packets = append(packets, &rtcp.PictureLossIndication{SenderSSRC: r.ssrc, MediaSSRC: r.remote})
	}
	b, err := rtcp.Marshal(packets)
	if err != nil {
		return nil // impossible: all fields are in range
	}
	return b
}

// block returns the reception report for the sender. mu must be held.
func (r *report) block(now time.Time) rtcp.ReceptionReport {
	expected := r.highest - r.first + 1
	lost := uint32(max(int64(expected)-int64(r.received), 0))
	block := rtcp.ReceptionReport{
		SSRC:               r.remote,
		TotalLost:          min(lost, 1<<23-1),
		LastSequenceNumber: r.highest,
		Jitter:             uint32(min(r.jitter, math.MaxUint32)),
	}

	due, came := expected-r.expected0, r.received-r.received0
	r.expected0, r.received0 = expected, r.received
	if due > came {
		block.FractionLost = uint8(min(256*uint64(due-came)/uint64(due), 255))
	}

	if !r.heard.IsZero() {
		block.LastSenderReport = r.sender
		block.Delay = uint32(now.Sub(r.heard).Seconds() * 65536)
	}
	return block
}
