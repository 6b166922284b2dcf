package session

import (
	"io"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/transport/v5/packetio"
)

// bufferSize is what pion gives a stream, in bytes.
const bufferSize = 1 << 20

// rtcpBuffer is where a stream's RTCP waits to be read. Feedback about a transport is addressed to the stream whose packet came last, and
// pion reads nothing that is addressed to the stream of retransmissions; so feedback is taken here, whatever stream it names.
type rtcpBuffer struct {
	*packetio.Buffer
	feedback func(*rtcp.TransportLayerCC)
}

// buffers returns what makes the buffers of a peer that wants transport-wide feedback.
func buffers(feedback func(*rtcp.TransportLayerCC)) func(packetio.BufferPacketType, uint32) io.ReadWriteCloser {
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
			return len(from), nil // who reads it would not understand it either
		}
		for _, p := range packets {
			if r, ok := p.(*rtcp.TransportLayerCC); ok {
				b.feedback(r)
			}
		}
	}
	return b.Buffer.Write(from, packetio.Attributes{})
}

// SetReadDeadline is what pion looks for.
func (b rtcpBuffer) SetReadDeadline(t time.Time) error { return b.Buffer.SetReadDeadline(t) }
