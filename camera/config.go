package camera

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/peephole-cam/peephole/crypto/expiry"
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/pairing"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/p2p"
	"github.com/peephole-cam/peephole/printable"
	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/session"
)

const (
	// DefaultName is the name of a camera whose Config has none.
	DefaultName = "camera"

	// DefaultPairWindow is how long after its start a camera without an owner can be paired.
	DefaultPairWindow = 10 * time.Minute
)

// Types of other packages that a Config and a Camera use.
type (
	// Code is a pairing code: a link and QR code (URI), and three words that the viewer shows too (Words). It is a
	// secret until it was used: show it to nobody but the person who pairs, and never log its URI.
	Code = pairing.Code
	// Fingerprint identifies a camera or a viewer; its String has 52 characters.
	Fingerprint = identity.Fingerprint
	// Rejection describes a message that is not from a viewer of this camera.
	Rejection = session.Rejection
	// Stream is a running source of pictures, such as a *media.Feed.
	Stream = session.Stream
	// PortMapper opens ports of the household's router, such as a *portmap.Mapper.
	PortMapper = session.PortMapper
)

// ErrConfig matches every error by which Validate, New or Run refuse a Config.
var ErrConfig = errors.New("invalid camera configuration")

// configError says what is wrong with a Config, in words for a person.
type configError struct{ error }

func (e configError) Is(target error) bool { return target == ErrConfig }
func (e configError) Unwrap() error        { return e.error }

// Config says how a camera serves. State, RelayURL and a source of pictures are required; everything else has a
// default. The functions are called from the camera's goroutines and must not block; each may be nil.
type Config struct {
	// State is the directory of the camera's identity and roster. It is made with mode 0700. Only one camera at a time
	// may use it.
	State string

	// RelayURL is the URL of the home relay: https://HOST[:PORT], or http://127.0.0.1:PORT on this machine.
	RelayURL string

	// Source is the camera's picture, such as media.Open returns. The camera reads it while it runs, and opens it
	// again when it dies. Give Stream instead if something else reads the source already.
	Source media.Source
	Stream Stream

	// LowSource is the same picture at a lower rate, for viewers whose network does not carry Source. Low is the same
	// for Stream. Both may be nil.
	LowSource media.Source
	Low       Stream

	// Name is what viewers call the camera; it is sealed on its way. It has 1 to 64 printable characters, with no
	// spaces around them. "" means DefaultName.
	Name string

	Ticket []byte      // admits the camera to a relay that wants tickets; nil if it admits everyone
	TLS    *tls.Config // whom to trust for the relay; nil means the system's roots

	// RelayOnly hides this camera's address from viewers and their networks: all media goes through the relay.
	RelayOnly bool

	// PairWindow is how long after the start a camera without an owner can be paired. 0 means DefaultPairWindow, and
	// less keeps the set-up window closed.
	PairWindow time.Duration
	// PairMore opens the set-up window of a camera that has an owner, too.
	PairMore bool

	// LAN tells viewers the names by which to find the camera without the relay: on its own network, and at P2PRelays,
	// which are multiaddresses of circuit relays, eight at most.
	LAN       bool
	P2PRelays []string

	PortMapper PortMapper    // opens a port of the household's router for each session; nil opens none
	Clock      *expiry.Clock // tells the time by which offers are judged; nil means one that is kept in State
	Logger     *slog.Logger  // nil discards

	// OnCode shows a pairing code to the person beside the camera. Each code replaces the one before. With a nil
	// OnCode the set-up window stays closed, since nobody would see a code.
	OnCode   func(Code)
	OnPaired func(viewer Fingerprint) // a viewer was paired
	OnClosed func()                   // the set-up window has closed, and no code is valid any more
	OnRefuse func(err error)          // somebody tried to pair and was refused: tell the person
	OnRelay  func(err error)          // nil: the relay was reached; else why it was not
	OnReject func(Rejection)          // a message that is not from a viewer arrived, and was not used

	// Log returns the newest lines of this program's log, for viewers who ask for them; nil offers none. Every viewer
	// can read them: they must hold no secrets. Of more than 1 MiB the newest is offered.
	Log func() []byte

	listen func(p2p.Config) (*p2p.Listener, error) // p2p.Listen, except in tests
}

// CheckName returns nil for a name that every viewer shows as it is.
func CheckName(name string) error {
	if name == "" || printable.CheckName(name) != nil {
		return fmt.Errorf("camera name %q: want 1 to %d printable characters, and no space around them",
			name, printable.MaxName)
	}
	return nil
}

// Validate returns an error that matches ErrConfig and says what is wrong, or nil. New calls it.
func (c Config) Validate() error {
	_, err := c.complete()
	return err
}

// complete returns the Config with its defaults, once it has been checked.
func (c Config) complete() (Config, error) {
	c.Name = cmp.Or(c.Name, DefaultName)
	c.PairWindow = cmp.Or(c.PairWindow, DefaultPairWindow)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}

	relayURL, err := relayurl.Normalize(c.RelayURL)
	if err != nil {
		err = fmt.Errorf("read relay URL: %w", err)
	} else {
		err = CheckName(c.Name)
	}
	switch {
	case err != nil:
	case c.State == "":
		err = errors.New("camera State: want a directory")
	case (c.Source == nil) == (c.Stream == nil):
		err = errors.New("camera Source: want this or Stream")
	case c.LowSource != nil && c.Low != nil:
		err = errors.New("camera LowSource: want this or Low, not both")
	default:
		err = checkRelays(c.P2PRelays)
	}

	if err != nil {
		return c, configError{err}
	}

	c.RelayURL = relayURL
	if c.listen == nil {
		c.listen = p2p.Listen
	}
	setDefault(&c.OnPaired)
	setDefault(&c.OnRefuse)
	setDefault(&c.OnReject)
	if c.OnClosed == nil {
		c.OnClosed = func() {}
	}

	return c, nil
}

// checkRelays returns nil for circuit relays that a camera can use and its viewers can be told of.
func checkRelays(relays []string) error {
	err := session.CheckCircuitRelays(relays)
	for _, relay := range relays {
		if err == nil {
			err = p2p.CheckRelay(relay)
		}
	}
	if err != nil {
		return fmt.Errorf("camera P2PRelays: %w", err)
	}
	return nil
}

// setDefault replaces a nil function by one that does nothing.
func setDefault[T any](f *func(T)) {
	if *f == nil {
		*f = func(T) {}
	}
}

// opensWindow reports whether a camera should show codes.
func (c *Config) opensWindow(owned bool) bool {
	return c.OnCode != nil && c.PairWindow > 0 && (c.PairMore || !owned)
}
