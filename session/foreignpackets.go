package session

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrPacket is the Err of a Rejection that reports packets.
var ErrPacket = errors.New("packets that the other end did not send")

// minForeign is how many foreign packets must arrive within a second to be reported. A single one may be an error of
// the network, because UDP's checksum has only 16 bits.
const minForeign = 3

// unverified is what pion/srtp logs about a packet whose authentication tag does not fit the session
// (srtp.ErrFailedToVerifyAuthTag). There is no other hook: its read loop logs the error and drops the packet. pion
// calls copies and late packets "duplicated" instead; those are no reason for alarm. TestCrossedMediaIsNotShown in
// test/e2e checks that pion still uses these words.
const unverified = "failed to verify auth tag"

// foreignPackets counts packets that reached this end as media but were not sealed by the other end. A relay that
// mixes up the media of sessions causes them. pion's goroutine counts, and the session's goroutine reports.
type foreignPackets struct{ count atomic.Int64 }

// sinceLast returns an error that says how many have arrived since the last call, or nil if they are too few.
func (p *foreignPackets) sinceLast() error {
	if n := p.count.Swap(0); n >= minForeign {
		return fmt.Errorf("%d %w", n, ErrPacket)
	}
	return nil
}
