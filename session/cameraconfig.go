package session

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/pion/transport/v5"

	"github.com/peephole-cam/peephole/bulk"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/stream"
)

// CameraConfig is what a camera's end of a session needs.
type CameraConfig struct {
	Pair      *envelope.Pair
	Signal    Signal
	Ticket    []byte          // admits the session's mailboxes at the relay
	Offer     envelope.Opened // the offer; the caller has opened it once and recorded it against replay
	OfferWire []byte          // the exact bytes it came in
	Name      string
	Stream    stream.Stream
	// the same picture at a lower rate, for viewers whose network does not carry Stream; nil if there is none
	Low       stream.Stream
	TLS       *tls.Config // verifies TURN servers over TLS; nil means the system's roots
	RelayOnly bool        // show the viewer and its network only the relay's address; the viewer may ask for this too
	Loopback  bool
	Logger    *slog.Logger

	Now        func() time.Time // dates replies; nil means time.Now
	PortMapper PortMapper       // nil if no port is to be opened
	SeenAs     []netip.Addr     // by which circuit relays see this machine
	OnLive     func()           // called when the viewer is connected. May be nil
	OnStall    func()           // called when nothing has arrived from the viewer for a while. May be nil
	OnPath     func(path.Path)  // also called at the session's end. Like OnReject, it must not block and may be nil
	Offered    bulk.Source      // what a bulk session may fetch; nil refuses such sessions
	Busy       func() bool      // reports whether the camera sends a live picture now; a bulk session then yields
	// returns the host list for a viewer that holds one of this version, or nil if the viewer gets none. May be nil
	HostList func(held []byte) *HostList
	// returns the relay list for a viewer that holds one of this version, or nil if that is the present one. May be nil
	RelayList func(held []byte) *RelayList
	// called with what arrived and did not open, from the session's goroutines; it must not block. May be nil
	OnReject func(Rejection)

	network transport.Net // nil except in tests
}

// received returns the offer in the form that package handshake expects.
func (c CameraConfig) received() handshake.Received {
	return handshake.Received{Pair: c.Pair, Opened: c.Offer, Wire: c.OfferWire, Now: c.Now}
}

// Refuse tells a viewer why there is no session.
func Refuse(ctx context.Context, cfg CameraConfig, why handshake.Refusal) error {
	received := cfg.received()
	wire, err := received.Refuse(why)
	if err != nil {
		return err
	}
	return cfg.Signal.Send(ctx, admitted(received.ReplyMailbox(), cfg.Ticket), wire, messageTTL)
}
