package viewer

import (
	"crypto/tls"
	"errors"
	"log/slog"

	"github.com/peephole-cam/peephole/clock"
	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/session"
)

// Types of other packages that a Viewer uses.
type (
	// Code is a camera's pairing code. Before Pair, show a person its RelayURL and its three Words, which the camera
	// shows too.
	Code = pairing.Code
	// Fingerprint identifies a camera or a viewer; its String has 52 characters.
	Fingerprint = identity.Fingerprint
	// Frame is one opened picture: an H.264 access unit, bit for bit what the camera read. Its Live method reports
	// whether it may be called live now.
	Frame = session.Frame
	// Path is the way that a session's pictures take, and why.
	Path = session.Path
	// Status is what a camera says about its picture; its Text is empty when all is well.
	Status = session.Status
	// SendStats tells how the camera sends.
	SendStats = session.SendStats
	// Rejection describes something that arrived and did not open. Nothing of it was shown.
	Rejection = session.Rejection
	// Refusal is the error of a camera that starts no session, with its reason in words for a person.
	Refusal = session.Refusal
	// PortMapper opens ports of the router here, such as a *portmap.Mapper.
	PortMapper = session.PortMapper
)

// Errors of a Viewer's methods.
var (
	// ErrConfig is returned by Validate and Open for a Config without a State.
	ErrConfig = errors.New("invalid viewer configuration: want a State directory")

	// ErrNoCamera is returned for a name that no paired camera has.
	ErrNoCamera = errors.New("no camera of that name is paired: see viewer list")
	// ErrAmbiguous is returned for a name that several paired cameras have.
	ErrAmbiguous = errors.New("several paired cameras have that name: use the id that viewer list shows")

	// ErrStalled is given to OnRetry when another session begins beside one that no longer shows a picture.
	ErrStalled = errors.New("nothing arrives from the camera")

	ErrNoAnswer  = session.ErrNoAnswer  // the camera did not answer: it may be off
	ErrLost      = session.ErrLost      // the connection to the camera was lost
	ErrEnded     = session.ErrEnded     // the camera ended the session
	ErrSilent    = session.ErrSilent    // the relay does not answer
	ErrNoPicture = session.ErrNoPicture // Still: the camera has no picture now
)

// Errors of ReadCode and Pair.
var (
	// ErrNotACamera is returned for a code that a viewer shows.
	ErrNotACamera = errors.New("this code is another viewer's, not a camera's")

	ErrNotACode     = pairing.ErrForeign // it is no pairing code
	ErrCodeDamaged  = pairing.ErrTorn    // it is damaged or incomplete
	ErrCodeNewer    = pairing.ErrNewer   // it is from a newer Peephole
	ErrCodeExpired  = pairing.ErrExpired
	ErrCodeUsed     = pairing.ErrUsed
	ErrCodeTaken    = pairing.ErrBound   // another device is pairing with it
	ErrWindowClosed = pairing.ErrClosed  // the camera's set-up window is closed
	ErrUnsaved      = pairing.ErrUnsaved // the camera could not save the pair
	ErrNobody       = pairing.ErrNobody  // nobody is waiting at the code
	ErrInterfered   = pairing.ErrInvalid // the relay, or another device, interfered
)

// Config says how a viewer works. State is required.
type Config struct {
	State string      // directory of the identity and the paired cameras, made with mode 0700
	TLS   *tls.Config // whom to trust for relays; nil means the system's roots

	// LAN asks cameras for the names by which to find them without the relay: on the viewer's own network, and at
	// circuit relays. They are kept in State.
	LAN bool

	PortMapper PortMapper    // opens a port of the router here for each session; nil opens none
	Clock      *expiry.Clock // tells the time by which messages are judged; nil means one that is kept in State
	Ages       *clock.Clock  // tells the age of pictures; nil means this machine's clock
	Logger     *slog.Logger  // nil discards
}

// Validate returns ErrConfig for a Config that cannot work, else nil. Open calls it.
func (c Config) Validate() error {
	if c.State == "" {
		return ErrConfig
	}
	return nil
}
