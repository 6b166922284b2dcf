package session

import (
	"errors"
	"testing"
)

func TestForeignPacketsAreTold(t *testing.T) {
	p := new(foreignPackets)
	log := loggers{quiet(), p}
	srtp, other := log.NewLogger("srtp"), log.NewLogger("ice")
	for range minForeign - 1 {
		srtp.Info(unverified)
		other.Info(unverified)
		srtp.Info("srtp ssrc=1 index=2: duplicated packet")
	}

	if err := p.sinceLast(); err != nil {
		t.Errorf("a few packets raised an alarm: %v", err)
	}
	for range minForeign {
		srtp.Info(unverified + ": cipher: message authentication failed")
	}

	if err := p.sinceLast(); !errors.Is(err, ErrPacket) || err.Error() != "3 packets that the other end did not send" {
		t.Errorf("got %v", err)
	}
	if err := p.sinceLast(); err != nil {
		t.Errorf("reported twice: %v", err)
	}
}
