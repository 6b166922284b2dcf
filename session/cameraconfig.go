package session

import (
	"crypto/tls"
	"log/slog"

	"github.com/pion/transport/v5"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
)

// Stream is the camera's picture, as a session needs it: *media.Feed has it.
type Stream interface {
	// Subscribe gives the current group of pictures at once, then what follows.
	Subscribe() *media.Subscription
	// State says how the input is doing.
	State() media.State
}

// CameraConfig is what a camera's end of a session needs.
type CameraConfig struct {
	Pair      *envelope.Pair
	Signal    Signal
	Ticket    []byte          // admits the session's mailboxes
	Offer     envelope.Opened // the offer, opened once and marked against replay by the caller
	OfferWire []byte          // the exact bytes it came in
	Name      string
	Stream    Stream
	Low       Stream      // the same at a lower rate, for viewers whose network does not carry Stream; nil: there is none
	TLS       *tls.Config // whom TURN servers over TLS are trusted by; nil: the system's roots
	RelayOnly bool        // show the viewer and its network no address of ours but the relay's; it may ask for that too
	Loopback  bool
	Logger    *slog.Logger

	PortMapper PortMapper      // nil: no port is opened
	OnLive     func()          // the viewer is connected. May be nil
	OnStall    func()          // for a while nothing has arrived from the viewer. May be nil
	OnPath     func(Path)      // as OnReject; also at the session's end
	OnReject   func(Rejection) // what arrived and did not open; called from the session's goroutines, it must not block. May be nil

	network transport.Net // tests have one of their own
}
