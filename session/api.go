package session

import (
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/stream"
)

// The types that a caller of this package handles. They live in the packages that make them.
type (
	// Frame is one opened picture.
	Frame = handshake.Frame
	// TURN is what an end needs for an allocation on the relay that both ends of a session use.
	TURN = handshake.TURN
	// WatchID ties together all sessions in which one person watches.
	WatchID = handshake.WatchID
	// Refusal is the reason why a camera does not start a session.
	Refusal = handshake.Refusal
	// HostList is what a viewer needs to find its camera without the operator's relay.
	HostList = handshake.HostList
	// RelayList tells a viewer at which relays its camera is.
	RelayList = handshake.RelayList
	// Place is one of a camera's relays.
	Place = handshake.Place
	// SendStats describes how a camera's end of a session sends.
	SendStats = handshake.SendStats
	// Stream is a camera's picture.
	Stream = stream.Stream
	// Path is the way that a session's media takes.
	Path = path.Path
	// Explain is the record behind the sentence that says which path a session took, and why it took no better one.
	Explain = path.Explain
)

const (
	// LiveFor is how long after its challenge was issued a picture may be called live.
	LiveFor = handshake.LiveFor
	// ClockRefusal is the code of the refusal of an offer that may be old by the camera's clock.
	ClockRefusal = handshake.ClockRefusal
	// NonceSize is the size of a refusal's nonce in bytes.
	NonceSize = handshake.NonceSize
	// HostListKeys is how many keys a host list has, one a day.
	HostListKeys = handshake.HostListKeys
	// HostVersionSize is the size of a host list's version in bytes.
	HostVersionSize = handshake.HostVersionSize
	// RelayVersionSize is the size of a relay list's version in bytes.
	RelayVersionSize = handshake.RelayVersionSize
)

// CheckCircuitRelays returns an error unless a host list can name these relays.
func CheckCircuitRelays(relays []string) error { return handshake.CheckCircuitRelays(relays) }

// NewWatchID makes an id at random.
func NewWatchID() WatchID { return handshake.NewWatchID() }
