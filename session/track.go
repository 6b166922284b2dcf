package session

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
	// keptPackets is how many packets can be sent again, and keptFor for how long: after that nobody waits for them.
	keptPackets = 1024
	keptFor     = 3 * time.Second
	// againMost is how often one packet can be: whoever asks for more wants something else than the picture.
	againMost = 8
)

// transportCC is the header extension of transport-wide sequence numbers.
const transportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

// track is the camera's RTP stream, and beside it that of retransmissions (RFC 4588). A packet is never sent a second time in
// its own stream: its header extension would be another, and AES-GCM under one nonce must seal one thing only.
type track struct {
	*webrtc.TrackLocalStaticRTP // negotiates
	bound                       atomic.Pointer[binding]

	// Owned by the one goroutine that sends:
	kept   [keptPackets]keptPacket // by sequence number
	second uint16                  // the last sequence number of retransmissions
}

// binding is what was negotiated.
type binding struct {
	writer        webrtc.TrackLocalWriter
	media, repair rtpStream // repair.ssrc 0: the other end takes no retransmissions
	extension     uint8     // of transport-wide sequence numbers; 0: none
}

type rtpStream struct {
	ssrc        uint32
	payloadType uint8
}

// keptPacket is a packet that was sent.
type keptPacket struct {
	packet
	sent   time.Time
	again  int    // how often it was sent again,
	number uint16 // last under this transport-wide number
}

func newTrack(c media.Carrier) (*track, error) {
	t, err := webrtc.NewTrackLocalStaticRTP(codec(c).RTPCodecCapability, "video", "peephole")
	if err != nil {
		return nil, fmt.Errorf("make track: %w", err)
	}
	return &track{TrackLocalStaticRTP: t}, nil
}

// Bind implements webrtc.TrackLocal; pion calls it when there is an answer.
func (t *track) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
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

// reported says whether the other end will report which packets arrive.
func (t *track) reported() bool {
	b := t.bound.Load()
	return b != nil && b.extension != 0
}

// send sends a packet under a transport-wide number, and keeps it. The payload must not change afterwards.
func (t *track) send(p packet, number uint16) error {
	t.kept[p.header.SequenceNumber%keptPackets] = keptPacket{packet: p, sent: time.Now()}
	b := t.bound.Load()
	if b == nil {
		return nil
	}
	return b.write(b.media, p, number)
}

// again returns a packet to be sent again, and how often: not at all if it is not kept, is underway already, or nobody would take it.
// first is how often the first time. What was lost twice goes out twice at least: a third time would be late.
func (t *track) again(number uint16, first int, underway func(uint16) bool) (p packet, copies int) {
	k, b := &t.kept[number%keptPackets], t.bound.Load()
	switch {
	case b == nil || b.repair.ssrc == 0, k.payload == nil || k.header.SequenceNumber != number, time.Since(k.sent) > keptFor, k.again >= againMost:
		return packet{}, 0
	case k.again == 0:
		return k.packet, first
	case underway(k.number):
		return packet{}, 0
	}
	return k.packet, max(2, first)
}

// repair sends a packet again: with its own sequence number in front of the payload (RFC 4588, section 4).
func (t *track) repair(p packet, number uint16) error {
	k, b := &t.kept[p.header.SequenceNumber%keptPackets], t.bound.Load()
	k.again++
	k.number = number
	p.payload = append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(p.payload)), p.header.SequenceNumber), p.payload...)
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
