package session

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/pion/transport/v5"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/signaling"
)

// Signal is what a session needs of signaling. *signaling.Client and *signaling.Carriers implement it.
type Signal interface {
	Receive(mb signaling.Mailbox, handle func(signaling.Delivery) (done bool)) (stop func())
	Send(ctx context.Context, mb signaling.Mailbox, body []byte, ttl time.Duration) error
	SendAll(ctx context.Context, mb signaling.Mailbox, queue <-chan signaling.Outgoing, ttl time.Duration,
		refused func(error)) error
}

// Status is what a camera says about itself, such as "no video yet: …".
type Status struct{ Code, Text string }

// The phases of a session, from the camera's answer and from the connection on.
const (
	PhaseAnswered  = "answered"
	PhaseConnected = "connected"
)

// ViewerConfig is what a viewer's end of a session needs. The On functions are called from the session's goroutines,
// one at a time each; they must not block for long.
type ViewerConfig struct {
	Pair       *envelope.Pair
	Signal     Signal
	Inbox      signaling.Mailbox // the camera's mailbox of today
	Box        envelope.Mailbox  // the same, as the envelope's context
	TURN       *handshake.TURN   // the viewer's credentials, or STUN servers alone; nil if there is neither
	CameraTURN *handshake.TURN   // the camera's, of the same grant
	TLS        *tls.Config       // verifies TURN servers over TLS; nil means the system's roots
	Carriers   []media.Carrier   // best first
	RelayOnly  bool              // show the camera and its network only the relay's address
	Loopback   bool              // gather loopback candidates too
	PortMapper PortMapper        // nil if no port is to be opened
	SeenAs     []netip.Addr      // by which circuit relays see this machine
	Watch      handshake.WatchID // the same for all sessions in which one person watches; zero if there is none
	Addresses  bool              // put addresses into explanations too, for the person at this device
	Clock      *clock.Clock      // measures the age of pictures; nil means this machine's
	Agent      string
	Nonce      []byte           // from the camera's refusal of an earlier offer; nil if there was none
	Now        func() time.Time // dates and judges envelopes; nil means time.Now
	Logger     *slog.Logger

	// HostVersion is the version of the camera's host list that the viewer holds, zeros if it holds none; nil asks for
	// none. OnHostList is called with the list if the camera answers with one. May be nil
	HostVersion []byte
	OnHostList  func(HostList)

	// RelayVersion is the version of the camera's relay list that the viewer holds, zeros if it holds none; nil asks
	// for none. OnRelayList is called with each list that the camera sends. May be nil
	RelayVersion []byte
	OnRelayList  func(RelayList)

	OnStall   func(stalled bool) // called when nothing has arrived from the camera for a while, and when it does again
	OnFrame   func(handshake.Frame)
	OnPath    func(path.Path)
	OnName    func(name string)
	OnStatus  func(Status)
	OnSending func(handshake.SendStats) // may be nil
	OnReject  func(Rejection)
	OnReply   func(carrier string) // called with the carrier of each sealed reply; may be nil
	OnPhase   func(phase string)   // called with PhaseAnswered, "checked" (by ICE) and PhaseConnected

	network transport.Net // nil except in tests
}
