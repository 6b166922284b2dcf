package stream

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
)

const (
	// A track keeps a packet for keptFor, to send it again; after that nobody waits for it. It has room for firstKept
	// packets at first, and for up to maxKept, enough for the largest picture, if more leave within that time.
	keptFor   = 3 * time.Second
	firstKept = 512
	maxKept   = 8192
	// maxAgain bounds how often one packet is sent again. A viewer that asks more often is after something other than
	// the picture.
	maxAgain = 8
)

// transportCC is the header extension of transport-wide sequence numbers.
const transportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

// clockRate is the RTP clock of both carriers, Hz.
const clockRate = 90000

// Codecs returns the codecs to negotiate for a carrier: its own, and that of its retransmissions.
func Codecs(c media.Carrier) []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{codec(c), retransmission(codec(c))}
}

func codec(c media.Carrier) webrtc.RTPCodecParameters {
	capability := webrtc.RTPCodecCapability{
		ClockRate: clockRate,
		RTCPFeedback: []webrtc.RTCPFeedback{
			{Type: "nack"},
			{Type: "nack", Parameter: "pli"},
			{Type: webrtc.TypeRTCPFBTransportCC},
		},
	}

	if c == media.VP8Carrier {
		capability.MimeType = webrtc.MimeTypeVP8
		return webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: capability}
	}
	capability.MimeType = webrtc.MimeTypeH264
	capability.SDPFmtpLine = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
	return webrtc.RTPCodecParameters{PayloadType: 102, RTPCodecCapability: capability}
}

// retransmission returns the codec of the stream in which a codec's packets are sent again (RFC 4588).
func retransmission(of webrtc.RTPCodecParameters) webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{
		PayloadType: of.PayloadType + 1,
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType:    webrtc.MimeTypeRTX,
			ClockRate:   clockRate,
			SDPFmtpLine: fmt.Sprintf("apt=%d", of.PayloadType),
		},
	}
}

// Track is the camera's RTP stream, together with its stream of retransmissions (RFC 4588). No packet is sent twice in
// its own stream: its header extension would differ, and AES-GCM must never seal two things under one nonce.
type Track struct {
	*webrtc.TrackLocalStaticRTP // negotiates
	bound                       atomic.Pointer[binding]

	// owned by the goroutine that sends:
	kept   []keptPacket // by sequence number modulo the length, which is a power of two
	oldest uint16       // sequence number of the oldest packet that is kept
	second uint16       // the last sequence number in the stream of retransmissions
}

// binding is what was negotiated.
type binding struct {
	writer        webrtc.TrackLocalWriter
	media, repair rtpStream // repair.ssrc is 0 if the other end accepts no retransmissions
	extension     uint8     // the id of the extension for transport-wide sequence numbers; 0 if there is none
}

type rtpStream struct {
	ssrc        uint32
	payloadType uint8
}

// keptPacket is a packet that was sent.
type keptPacket struct {
	packet
	sent   time.Time
	again  int    // how often it was sent again
	number uint16 // the transport-wide number that it last had
}

func NewTrack(c media.Carrier) (*Track, error) {
	t, err := webrtc.NewTrackLocalStaticRTP(codec(c).RTPCodecCapability, "video", "peephole")
	if err != nil {
		return nil, fmt.Errorf("make track: %w", err)
	}
	return &Track{TrackLocalStaticRTP: t}, nil
}

// Bind implements webrtc.TrackLocal. pion calls it when there is an answer.
func (t *Track) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codec, err := t.TrackLocalStaticRTP.Bind(c)
	if err != nil {
		return codec, err
	}
	b := &binding{writer: c.WriteStream(), media: rtpStream{uint32(c.SSRC()), uint8(codec.PayloadType)}}
	apt := "apt=" + strconv.Itoa(int(codec.PayloadType))
	for _, p := range c.CodecParameters() {
		if p.MimeType == webrtc.MimeTypeRTX && p.SDPFmtpLine == apt {
			b.repair = rtpStream{uint32(c.SSRCRetransmission()), uint8(p.PayloadType)}
		}
	}

	for _, e := range c.HeaderExtensions() {
		if e.URI == transportCC {
			b.extension = uint8(e.ID)
		}
	}

	t.bound.Store(b)
	return codec, nil
}

// reported reports whether the other end reports which packets arrive.
func (t *Track) reported() bool {
	b := t.bound.Load()
	return b != nil && b.extension != 0
}

// send sends a packet under a transport-wide number, and keeps it. The payload must not change afterwards.
func (t *Track) send(p packet, number uint16) error {
	t.keep(keptPacket{packet: p, sent: time.Now()})
	b := t.bound.Load()
	if b == nil {
		return nil
	}
	return b.write(b.media, p, number)
}

// keep keeps a packet, whose number must follow that of the previous one. It drops packets that are too old, because
// each keeps its whole frame in memory.
func (t *Track) keep(p keptPacket) {
	number := p.header.SequenceNumber
	if t.kept == nil {
		t.kept, t.oldest = make([]keptPacket, firstKept), number
	}

	for t.oldest != number && p.sent.Sub(t.find(t.oldest).sent) > keptFor {
		*t.find(t.oldest) = keptPacket{}
		t.oldest++
	}

	if number-t.oldest == uint16(len(t.kept)) {
		if len(t.kept) < maxKept {
			t.grow()
		} else {
			t.oldest++
		}
	}
	*t.find(number) = p
}

// grow doubles the room for packets.
func (t *Track) grow() {
	before := t.kept
	t.kept = make([]keptPacket, 2*len(before))
	for _, p := range before {
		*t.find(p.header.SequenceNumber) = p
	}
}

// find returns the place at which a packet is kept, if it is kept at all.
func (t *Track) find(number uint16) *keptPacket {
	if len(t.kept) == 0 {
		return &keptPacket{}
	}
	return &t.kept[int(number)%len(t.kept)]
}

// again returns a packet to send again, and how many copies to send. It returns no copies if the packet is not kept,
// was sent again too often, or is underway already, or if the other end accepts no retransmissions. first is the number
// of copies for the first time. A packet that was lost twice is sent at least twice, because a third retransmission
// would be late.
func (t *Track) again(number uint16, first int, underway func(uint16) bool) (p packet, copies int) {
	k, b := t.find(number), t.bound.Load()
	switch {
	case b == nil || b.repair.ssrc == 0, k.payload == nil || k.header.SequenceNumber != number,
		time.Since(k.sent) > keptFor, k.again >= maxAgain:
		return packet{}, 0
	case k.again == 0:
		return k.packet, first
	case underway(k.number):
		return packet{}, 0
	}

	return k.packet, max(2, first)
}

// repair sends a packet again, with its sequence number in front of the payload (RFC 4588, section 4).
func (t *Track) repair(p packet, number uint16) error {
	k, b := t.find(p.header.SequenceNumber), t.bound.Load()
	k.again++
	k.number = number
	p.payload = append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(p.payload)), p.header.SequenceNumber),
		p.payload...)
	t.second++
	p.header.SequenceNumber = t.second

	return b.write(b.repair, p, number)
}

func (b *binding) write(s rtpStream, p packet, number uint16) error {
	p.header.SSRC, p.header.PayloadType = s.ssrc, s.payloadType
	if b.extension != 0 {
		if err := p.header.SetExtension(b.extension, binary.BigEndian.AppendUint16(nil, number)); err != nil {
			return fmt.Errorf("number packet: %w", err)
		}
	}

	if _, err := b.writer.WriteRTP(&p.header, p.payload); err != nil {
		return fmt.Errorf("write packet: %w", err)
	}
	return nil
}
