package stream

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/bubble"
)

// negotiated is the context that pion gives a track once there is an answer. It records what the track sends.
type negotiated struct {
	media, repair webrtc.SSRC
	extension     int
	sent          []rtp.Packet
}

func (n *negotiated) CodecParameters() []webrtc.RTPCodecParameters {
	c := codec(media.H264Carrier)
	c.PayloadType = 45
	other := retransmission(webrtc.RTPCodecParameters{PayloadType: 96})
	return []webrtc.RTPCodecParameters{other, c, retransmission(c)}
}

func (n *negotiated) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter {
	if n.extension == 0 {
		return nil
	}
	return []webrtc.RTPHeaderExtensionParameter{{URI: "urn:other", ID: 1}, {URI: transportCC, ID: n.extension}}
}

func (n *negotiated) SSRC() webrtc.SSRC                       { return n.media }
func (n *negotiated) SSRCRetransmission() webrtc.SSRC         { return n.repair }
func (n *negotiated) SSRCForwardErrorCorrection() webrtc.SSRC { return 0 }
func (n *negotiated) WriteStream() webrtc.TrackLocalWriter    { return n }
func (n *negotiated) ID() string                              { return "id" }
func (n *negotiated) RTCPReader() interceptor.RTCPReader      { return nil }
func (n *negotiated) Write([]byte) (int, error)               { panic("not used") }

func (n *negotiated) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	n.sent = append(n.sent, rtp.Packet{Header: h.Clone(), Payload: bytes.Clone(payload)})
	return len(payload), nil
}

func bound(t *testing.T, n *negotiated) *Track {
	t.Helper()
	track, err := NewTrack(media.H264Carrier)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := track.Bind(n); err != nil || c.PayloadType != 45 {
		t.Fatalf("bound to %d, %v", c.PayloadType, err)
	}
	return track
}

// A packet is sent again in the stream of retransmissions (RFC 4588), under a new transport-wide number, with the same
// payload.
func TestTrackRetransmits(t *testing.T) {
	n := &negotiated{media: 7, repair: 8, extension: 3}
	track := bound(t, n)
	original := packet{rtp.Header{Version: 2, Marker: true, SequenceNumber: 65535, Timestamp: 99}, []byte("sealed")}
	if err := track.send(original, 500); err != nil {
		t.Fatal(err)
	}

	p, copies := track.again(65535, 1, func(uint16) bool {
		t.Error("the pacer was asked about a packet that was sent only once")
		return true
	})
	if copies != 1 {
		t.Fatalf("%d copies of a packet that was lost once", copies)
	}
	if err := track.repair(p, 501); err != nil {
		t.Fatal(err)
	}

	for i, want := range []struct {
		ssrc    uint32
		pt      uint8
		number  uint16
		payload []byte
	}{{7, 45, 500, []byte("sealed")}, {8, 46, 501, append(binary.BigEndian.AppendUint16(nil, 65535), "sealed"...)}} {
		got := n.sent[i]
		if got.SSRC != want.ssrc || got.PayloadType != want.pt || !got.Marker || got.Timestamp != 99 ||
			!bytes.Equal(got.Payload, want.payload) ||
			binary.BigEndian.Uint16(got.GetExtension(3)) != want.number {
			t.Errorf("packet %d: %+v", i, got)
		}
	}

	if n.sent[1].SequenceNumber != 1 {
		t.Errorf("the first retransmission has the number %d", n.sent[1].SequenceNumber)
	}
	if _, copies := track.again(65535, 1, func(number uint16) bool { return number == 501 }); copies != 0 {
		t.Error("a packet that is underway is sent again")
	}

	if _, copies := track.again(65535, 1, func(uint16) bool { return false }); copies != 2 {
		t.Errorf("%d copies of a packet that was lost twice", copies)
	}
}

// Each carrier and its retransmissions have payload types of their own, of those that RTP leaves free (RFC 3551,
// section 3).
func TestPayloadTypesAreDynamic(t *testing.T) {
	seen := make(map[webrtc.PayloadType]bool)
	for _, carrier := range []media.Carrier{media.VP8Carrier, media.H264Carrier} {
		for _, c := range Codecs(carrier) {
			if c.PayloadType < 96 || c.PayloadType > 127 || seen[c.PayloadType] {
				t.Errorf("%v: %s has the payload type %d, among %v", carrier, c.MimeType, c.PayloadType, seen)
			}
			seen[c.PayloadType] = true
		}
	}
}

// A track keeps packets for a limited time, and no more of them than that takes, because each keeps a whole frame in
// memory.
func TestTrackForgetsWhatIsTooOld(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		track := bound(t, &negotiated{media: 7, repair: 8})
		number := uint16(65000) // so that numbers wrap
		send := func(n int, every time.Duration) {
			for range n {
				if err := track.send(packet{rtp.Header{SequenceNumber: number}, []byte{1}}, 0); err != nil {
					t.Fatal(err)
				}
				number++
				time.Sleep(every)
			}
		}

		kept := func() (n int) {
			for _, p := range track.kept {
				if p.payload != nil {
					n++
				}
			}
			return n
		}

		send(2000, 10*time.Millisecond)
		if n := kept(); n < 300 || n > 302 || len(track.kept) != firstKept {
			t.Errorf("%d packets of the last %s are kept, with room for %d", n, keptFor, len(track.kept))
		}
		send(5000, 0)
		lost := func(uint16) bool { return false }
		if _, copies := track.again(number-4999, 1, lost); copies != 1 || len(track.kept) != maxKept {
			t.Errorf("%d copies of the first of 5,000 packets; room for %d", copies, len(track.kept))
		}

		time.Sleep(keptFor + 1)
		if send(1, 0); kept() != 1 {
			t.Errorf("%d packets are kept after %s", kept(), keptFor)
		}
	})
}

// A packet is not sent again if it is not kept, is too old, or was requested too often, or if there is no stream of
// retransmissions.
func TestTrackDoesNotRetransmit(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		lost := func(uint16) bool { return false }
		n := &negotiated{media: 7, repair: 8}
		track := bound(t, n)
		if track.reported() {
			t.Error("expects reports without an extension for them")
		}

		for number := range uint16(maxKept + 1) {
			if err := track.send(packet{rtp.Header{SequenceNumber: number}, []byte{1}}, 0); err != nil {
				t.Fatal(err)
			}
		}

		for number, want := range map[uint16]int{0: 0, 1: 1, maxKept: 1, maxKept + 1: 0} {
			if _, copies := track.again(number, 1, lost); copies != want {
				t.Errorf("packet %d: %d copies, want %d", number, copies, want)
			}
		}

		if _, copies := track.again(7, 3, lost); copies != 3 {
			t.Errorf("%d copies of a packet that was lost once, want 3", copies)
		}
		total := 0
		for range 100 {
			p, copies := track.again(5, 1, lost)
			for range copies {
				total++
				if err := track.repair(p, 0); err != nil {
					t.Fatal(err)
				}
			}
		}

		if total > maxAgain+1 {
			t.Errorf("one packet was sent again %d times", total)
		}
		time.Sleep(keptFor + 1)
		if _, copies := track.again(6, 1, lost); copies != 0 {
			t.Error("a packet that nobody waits for is sent again")
		}

		without := bound(t, &negotiated{media: 7})
		if err := without.send(packet{rtp.Header{SequenceNumber: 1}, []byte{1}}, 0); err != nil {
			t.Fatal(err)
		}
		if _, copies := without.again(1, 1, lost); copies != 0 {
			t.Error("a packet is sent again in its own stream")
		}
	})
}
