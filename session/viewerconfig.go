package session

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/pion/transport/v5"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/signaling"
)

// Signal is what a session needs of signaling: *signaling.Client has it.
type Signal interface {
	Receive(mb signaling.Mailbox, handle func(signaling.Delivery) (done bool)) (stop func())
	Send(ctx context.Context, mb signaling.Mailbox, body []byte, ttl time.Duration) error
	SendAll(ctx context.Context, mb signaling.Mailbox, queue <-chan signaling.Outgoing, ttl time.Duration, refused func(error)) error
}

// Status is what a camera says about itself: "no video yet: …".
type Status struct{ Code, Text string }

// ViewerConfig is what a viewer's end of a session needs. The On functions are called from the session's goroutines,
// one at a time each; they must not block for long.
type ViewerConfig struct {
	Pair       *envelope.Pair
	Signal     Signal
	Inbox      signaling.Mailbox // the camera's mailbox of today
	Box        envelope.Mailbox  // the same, as the envelope's context
	TURN       *TURN             // the viewer's credentials; nil: no relay
	CameraTURN *TURN             // the camera's, of the same grant
	TLS        *tls.Config       // whom TURN servers over TLS are trusted by; nil: the system's roots
	Carriers   []media.Carrier   // best first
	RelayOnly  bool              // show the camera and its network no address of ours but the relay's
	Loopback   bool              // gather loopback candidates too
	PortMapper PortMapper        // nil: no port is opened
	Watch      WatchID           // the same for all sessions of one person's watching; zero: none
	Addresses  bool              // put addresses into explanations too: for the eyes of the person at this device
	Agent      string
	Logger     *slog.Logger

	OnStall   func(stalled bool) // for a while nothing has arrived from the camera; or it does again
	OnFrame   func(Frame)
	OnPath    func(Path)
	OnName    func(name string)
	OnStatus  func(Status)
	OnSending func(Sending) // may be nil
	OnReject  func(Rejection)
	OnPhase   func(phase string) // "answered", "checked" (by ICE), "connected": for measuring

	network transport.Net // tests have one of their own
}

// WatchID ties together the sessions of one person's watching: when a new one is connected the camera ends those before it, which
// may be of a network that the person has left.
type WatchID [16]byte

// NewWatchID makes an id at random.
func NewWatchID() WatchID { return WatchID(fresh(len(WatchID{}))) }
