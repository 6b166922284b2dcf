package camera

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/session"
)

const (
	hostDaySeconds = 86400

	// hostDaysBack is how many days before today a host list begins. A camera that has lost its clock goes by its
	// floor, which is at most two days and a few minutes behind the last time it knew. So it announces the key of up to
	// three days before.
	hostDaysBack = 3

	// hostDaysLeft is how many days a viewer's list must still have to be good enough.
	hostDaysLeft = 30
)

// hostSeed is what the host keys of a camera come from, one a day: whoever has it can pose as the camera on its LAN and
// at circuit relays. It never leaves the camera (doc/protocol.md, section 6.6).
type hostSeed struct{ envelope.Secret }

// newHostSeed returns a random seed.
func newHostSeed() (s hostSeed) {
	rand.Read(s.Secret[:])
	return s
}

// day returns the number of the day at a time. Days begin at an offset that comes from the seed, so that not all
// cameras change their keys at once. Before 1970 it is the first day.
func (s hostSeed) day(now time.Time) uint32 {
	offset := binary.BigEndian.Uint32(label.KDF(nil, s.Secret[:], label.HostDayOffset, nil, 4)) % hostDaySeconds
	return uint32((max(now.Unix(), 0) + int64(offset)) / hostDaySeconds)
}

// key returns the key of a day.
func (s hostSeed) key(day uint32) ed25519.PrivateKey {
	context := binary.BigEndian.AppendUint32(nil, day)
	return ed25519.NewKeyFromSeed(label.KDF(nil, s.Secret[:], label.HostKey, context, ed25519.SeedSize))
}

// list returns the host list of today.
func (s hostSeed) list(now time.Time, relays []string) session.HostList {
	first := max(s.day(now), hostDaysBack) - hostDaysBack
	l := session.HostList{Version: s.version(first, relays), First: first, Relays: relays}
	for day := range uint32(session.HostListKeys) {
		l.Keys = append(l.Keys, s.key(first+day).Public().(ed25519.PublicKey)...)
	}
	return l
}

// version returns the version of the list that begins with a day and names these relays: the day, and four bytes that
// only this camera can make.
func (s hostSeed) version(first uint32, relays []string) []byte {
	day := binary.BigEndian.AppendUint32(nil, first)
	var named []byte
	for _, relay := range relays {
		named = binary.BigEndian.AppendUint16(named, uint16(len(relay)))
		named = append(named, relay...)
	}
	return append(day, label.MAC(s.Secret[:], label.HostListVersion, day, named)[:4]...)
}

// made reports whether a version is that of a list made of this seed, with these relays.
func (s hostSeed) made(version []byte, relays []string) bool {
	return len(version) == session.HostVersionSize &&
		string(s.version(binary.BigEndian.Uint32(version), relays)) == string(version) // no secret: the viewer has it
}

// lasts reports whether a list of this seed, of a version that it made, has the keys of the days to come, and those of
// the days just past.
func (s hostSeed) lasts(version []byte, now time.Time) bool {
	first, today := uint64(binary.BigEndian.Uint32(version)), uint64(s.day(now))
	return first+hostDaysBack <= max(today, hostDaysBack) && today+hostDaysLeft <= first+session.HostListKeys
}
