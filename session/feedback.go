package session

import (
	"time"

	"github.com/pion/rtcp"
)

// status is what a feedback packet says of one packet.
type status struct {
	number   uint16 // transport-wide sequence number
	received bool
	at       time.Duration // by the other end's clock, from any beginning
}

// arrivalClock reads transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01). Its reference time has 24 bits of
// 64 ms, and begins anew every twelve days.
type arrivalClock struct {
	begun bool
	last  uint32 // the last reference time
	wide  int64  // the same without its wrap
}

// maxStatuses is how many packets one feedback packet may speak of; more than are ever in flight.
const maxStatuses = flightMost

// read lists what a feedback packet says, in order of sequence numbers.
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
