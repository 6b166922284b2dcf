package stream

import (
	"io"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/transport/v5/packetio"
)

// bufferSize is the size of pion's own buffers in bytes.
const bufferSize = 1 << 20

// rtcpBuffer holds a stream's RTCP until pion reads it. Transport-wide feedback names the stream whose packet arrived
// last, and pion reads nothing that names the stream of retransmissions. So rtcpBuffer reads the feedback itself,
// whichever stream it names.
type rtcpBuffer struct {
	*packetio.Buffer
	feedback func(*rtcp.TransportLayerCC)
}

// FeedbackBuffers returns a factory of pion's buffers that passes transport-wide feedback to a function.
func FeedbackBuffers(feedback func(*rtcp.TransportLayerCC)) func(packetio.BufferPacketType, uint32) io.ReadWriteCloser {
	return func(kind packetio.BufferPacketType, _ uint32) io.ReadWriteCloser {
		b := rtcpBuffer{Buffer: packetio.NewBuffer()}
		b.SetLimitSize(bufferSize)
		if kind == packetio.RTCPBufferPacket {
			b.feedback = feedback
		}
		return b
	}
}

func (b rtcpBuffer) Read(to []byte) (int, error) {
	n, _, err := b.Buffer.Read(to, packetio.Attributes{})
	return n, err
}

func (b rtcpBuffer) Write(from []byte) (int, error) {
	if b.feedback != nil {
		packets, err := rtcp.Unmarshal(from)
		if err != nil {
			return len(from), nil // pion would not understand it either
		}
		for _, p := range packets {
			if r, ok := p.(*rtcp.TransportLayerCC); ok {
				b.feedback(r)
			}
		}
	}
	return b.Buffer.Write(from, packetio.Attributes{})
}

// SetReadDeadline exists because pion looks for it.
func (b rtcpBuffer) SetReadDeadline(t time.Time) error { return b.Buffer.SetReadDeadline(t) }
