package session

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/pion/logging"
)

// ErrPacket is the reason of a Rejection of packets.
var ErrPacket = errors.New("packets that the other end did not send")

// packetsAlarm is from how many packets in a second on they are told. One alone can be the network's: UDP's checksum has 16 bits.
const packetsAlarm = 3

// unverified is what pion/srtp says of a packet whose authentication tag is not the session's (srtp.ErrFailedToVerifyAuthTag). It has no
// other hook: its read loop logs the error and drops the packet. Copies and late packets it calls duplicated, and they are no alarm.
// internal/e2e TestRelayCrossesMedia sees to it that these are still its words.
const unverified = "failed to verify auth tag"

// packets counts what reached this end as media and was not sealed by the other: a relay that crosses media does that. pion's goroutine
// adds, the session's tells.
type packets struct{ foreign atomic.Int64 }

// since is what there is to tell since the last call; nil: nothing.
func (p *packets) since() error {
	if n := p.foreign.Swap(0); n >= packetsAlarm {
		return fmt.Errorf("%d %w", n, ErrPacket)
	}
	return nil
}

// srtpLog listens to pion/srtp, as loggers do to all of pion.
type srtpLog struct {
	leveled
	packets *packets
}

var _ logging.LeveledLogger = srtpLog{}

func (l srtpLog) Info(msg string) {
	if strings.HasPrefix(msg, unverified) {
		l.packets.foreign.Add(1)
		return
	}
	l.leveled.Info(msg)
}
