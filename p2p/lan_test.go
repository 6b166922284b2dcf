package p2p

import (
	"net/netip"
	"testing"
	"time"
)

// However many addresses a stranger has, an address that has had fewer turns takes the place of one that has had more,
// and one that has had as many waits for half a second.
func TestAddressesTakeTurns(t *testing.T) {
	at := func(host byte) candidate {
		return candidate{at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, host}), 4001)}
	}
	for _, tt := range []struct {
		name    string
		running int
		age     time.Duration // of the oldest dial
		most    int           // turns of its address; the others had one
		turns   int           // of the newcomer's
		room    bool
		ends    bool // it ends the oldest dial
	}{
		{"few are dialed", maxDials - 1, time.Second, 3, 5, true, false},
		{"nobody had more turns", maxDials, time.Second, 3, 4, false, false},
		{"somebody had as many", maxDials, dialTurn, 3, 3, true, true},
		{"somebody had as many, just now", maxDials, dialTurn / 2, 3, 3, false, false},
		{"somebody had more", maxDials, 0, 3, 2, true, true},
		{"all had one, and the newcomer none", maxDials, time.Minute, 1, 0, true, true},
	} {
		s := &search{dials: make(map[candidate]*dial), turns: make(map[netip.Addr]int)}
		began, ended := time.Now(), false
		for host := range byte(tt.running) {
			s.turns[at(host).at.Addr()] = 1
			s.dials[at(host)] = &dial{began, func() { t.Errorf("%s: it ends a young dial", tt.name) }}
		}
		s.turns[at(7).at.Addr()] = tt.most
		s.dials[at(7)] = &dial{began.Add(-tt.age), func() { ended = true }}

		newcomer := at(200)
		s.turns[newcomer.at.Addr()] = tt.turns
		room := s.makeRoom(newcomer)
		if gone := s.dials[at(7)] == nil; room != tt.room || ended != tt.ends || gone != tt.ends {
			t.Errorf("%s: room %t, ended %t, gone %t", tt.name, room, ended, gone)
		}
	}
}
