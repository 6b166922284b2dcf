package congestion

import (
	"time"

	"github.com/pion/rtcp"
)

// status is what a feedback packet reports about one packet.
type status struct {
	number   uint16 // transport-wide sequence number
	received bool
	at       time.Duration // when it arrived, by the other end's clock, which starts anywhere
}

// arrivalClock reads transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01). Its reference time
// has 24 bits, counts 64 ms, and wraps every twelve days.
type arrivalClock struct {
	begun bool
	last  uint32 // the last reference time
	wide  int64  // the same time, unwrapped
}

// maxStatuses bounds the packets on which one feedback packet reports. More are never in flight.
const maxStatuses = maxFlight

// read returns what a feedback packet reports, in the order of sequence numbers.
func (c *arrivalClock) read(r *rtcp.TransportLayerCC) []status {
	if !c.begun {
		c.begun, c.last = true, r.ReferenceTime
	}
	c.wide += int64(int32((r.ReferenceTime-c.last)<<8) >> 8)
	c.last = r.ReferenceTime
	at := time.Duration(c.wide) * 64 * time.Millisecond
	count := min(int(r.PacketStatusCount), maxStatuses)
	statuses, deltas := make([]status, 0, count), r.RecvDeltas

	add := func(symbol uint16) {
		s := status{number: r.BaseSequenceNumber + uint16(len(statuses))}
		if symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta {
			if len(deltas) > 0 {
				at += time.Duration(deltas[0].Delta) * time.Microsecond
				s.received, s.at, deltas = true, at, deltas[1:]
			}
		}
		statuses = append(statuses, s)
	}

	for _, chunk := range r.PacketChunks {
		switch chunk := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for n := 0; n < int(chunk.RunLength) && len(statuses) < count; n++ {
				add(chunk.PacketStatusSymbol)
			}
		case *rtcp.StatusVectorChunk:
			for n := 0; n < len(chunk.SymbolList) && len(statuses) < count; n++ {
				add(chunk.SymbolList[n])
			}
		}
	}

	return statuses
}
