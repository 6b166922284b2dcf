package session

import (
	"context"
	"errors"
	"sync"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/session/path"
	"github.com/peephole-cam/peephole/session/stream"
)

// ErrOffer is returned by Run when it cannot answer the offer. It has sent nothing to the viewer then.
var ErrOffer = errors.New("the offer cannot be answered")

// ErrNoCarrier is returned for a viewer that can play none of the formats that this camera makes.
var ErrNoCarrier = errors.New("the viewer can play none of this camera's formats")

// Camera is the camera's end of one session.
type Camera struct {
	cfg     CameraConfig
	id      envelope.SessionID
	offer   *handshake.Offer
	carrier media.Carrier
	in, out envelope.Mailbox
	outbox  *outbox
	events  chan func() error // run by Run's goroutine, which owns the fields below
	work    sync.WaitGroup

	peer      *peer
	sender    *stream.Sender
	explainer *path.Explainer
	puncher   *puncher
	records   *handshake.RecordKeys // nil until there is a secret
	greeted   bool
	told      string // the last trouble that we told the viewer
	// the version of the relay list that the viewer holds; nil if it wants none
	relaysHeld []byte
	live       bool
	leaves     bool // we are ending the session, so say bye
	ticks      int
}

// NewCamera checks an offer and prepares the session. Run starts it.
func NewCamera(cfg CameraConfig) (*Camera, error) {
	o, err := handshake.ParseOffer(cfg.Offer.Body)
	if err != nil {
		return nil, err
	}
	c := &Camera{cfg: cfg, id: cfg.Offer.Session, offer: o, events: make(chan func() error, 64)}
	for _, name := range o.Carriers {
		if c.carrier, err = media.ParseCarrier(name); err == nil {
			break
		}
	}

	if c.carrier == 0 && !o.Still && !o.Bulk {
		return nil, ErrNoCarrier
	}
	c.in = cfg.Pair.SessionMailbox(envelope.ToCamera, c.id)
	c.out = cfg.Pair.SessionMailbox(envelope.ToViewer, c.id)
	c.outbox = newOutbox(cfg.Signal, admitted(c.out, cfg.Ticket), cfg.Logger)
	return c, nil
}

// Watch returns the id that the viewer gives to all sessions in which one person watches. It is zero if the offer has
// none.
func (c *Camera) Watch() (id handshake.WatchID) {
	copy(id[:], c.offer.Watch)
	return id
}

// Bulk reports whether the viewer wants to fetch what the camera offers, and no picture.
func (c *Camera) Bulk() bool { return c.offer.Bulk }

// Nonce returns the nonce of an earlier refusal that the viewer repeats, or nil if it repeats none.
func (c *Camera) Nonce() []byte { return c.offer.Nonce }

func (c *Camera) do(ctx context.Context, f func() error) {
	select {
	case c.events <- f:
	case <-ctx.Done():
	}
}

// hides reports whether this end must not show its address. Either end may ask for that.
func (c *Camera) hides() bool { return c.cfg.RelayOnly || c.offer.RelayOnly }

// hostList returns the host list for the answer, or nil if the viewer did not ask or needs none.
func (c *Camera) hostList() *HostList {
	if len(c.offer.LAN) == 0 || c.cfg.HostList == nil {
		return nil
	}
	return c.cfg.HostList(c.offer.LAN)
}

// relayList returns the relay list for the answer, or nil if the viewer did not ask or holds it. From then on the
// viewer is told of another one.
func (c *Camera) relayList() *RelayList {
	if len(c.offer.Relays) == 0 || c.cfg.RelayList == nil {
		return nil
	}
	list := c.cfg.RelayList(c.offer.Relays)
	if c.relaysHeld = c.offer.Relays; list != nil {
		c.relaysHeld = list.Version
	}
	return list
}

// reject reports whether a record is foreign, and calls OnReject if it is. A mere fault of the viewer is no reason for
// alarm.
func (c *Camera) reject(err error) bool {
	c.cfg.Logger.Debug("session record", "err", err)
	if !handshake.IsForeign(err) {
		return false
	}
	if c.cfg.OnReject != nil {
		c.cfg.OnReject(Rejection{"record", err})
	}

	return true
}

func (c *Camera) sendData(m handshake.Message) error { return c.peer.send(c.records, m) }
